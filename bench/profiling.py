"""Where the CPU goes: one contender in one solo worker under cProfile, with its warm-up left out.

`python -m bench.profiling FILE -m celery arguments…` is what the worker runs as: SIGUSR1 switches the profiler on,
the next one switches it off and writes FILE.
"""

from __future__ import annotations

import cProfile
import io
import os
import pstats
import runpy
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

WORK: dict[str, dict[str, Any]] = {
    "sequence": {"what": "sequences", "count": 400},
    "chord": {"what": "chords", "count": 20},
    "sleepers": {"what": "sleepers", "count": 2000, "delay": 8.0},
    "thousand": {"what": "long", "steps": 1000},
    "booking": {"what": "bookings", "samples": 50},
}


def profile(contender: str, measure: str, output: Path, lines: int) -> str:
    """Measure `contender` in a profiled solo worker; returns the report and leaves the dump in `output`."""
    from bench.stage import Stage

    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    work = dict(WORK[measure])
    with Stage(solo=True, workers=1) as stage:
        stage.prepare([contender])
        with stage.contender(contender, profile_to=output) as running:
            warm_up = {"what": "bookings", "samples": 5} if measure == "booking" else {"what": "sequences", "count": 50}
            running.ask(**warm_up)  # type: ignore[arg-type]
            stage.analyze()
            pid = running.worker_pids[0]
            os.kill(pid, signal.SIGUSR1)
            measured = running.ask(**work)
            os.kill(pid, signal.SIGUSR1)
            deadline = time.monotonic() + 20
            while not output.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the worker wrote no profile to {output} within 20 s\n{running.logs()}")
                time.sleep(0.05)
    text = io.StringIO()
    for order in ("tottime", "cumulative"):
        pstats.Stats(str(output), stream=text).strip_dirs().sort_stats(order).print_stats(lines)
    answer = {key: value for key, value in measured.answer.items() if not isinstance(value, list)}
    return f"{contender} {measure} (profiled): {answer}  CPU {measured.cpu}\n{text.getvalue()}dump: {output}"


def _run_under_profiler(output: Path, arguments: list[str]) -> None:
    profiler = cProfile.Profile()
    running = False

    def switch(number: int, frame: FrameType | None) -> None:
        nonlocal running
        if running:
            profiler.disable()
            whole = output.with_suffix(".partial")
            profiler.dump_stats(whole)
            whole.replace(output)
        else:
            profiler.enable()
        running = not running

    if arguments[:1] != ["-m"]:
        raise SystemExit(f"bench.profiling: expected '-m module …', got {' '.join(arguments)!r}")
    sys.argv = arguments[1:]
    # Celery takes SIGUSR1 for itself when the worker starts (it shows every thread's stack), so ours is put back.
    real = signal.signal

    def keep_ours(number: int, handler: Any) -> Any:
        return None if number == signal.SIGUSR1 else real(number, handler)

    real(signal.SIGUSR1, switch)
    signal.signal = keep_ours  # type: ignore[assignment]
    runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run_under_profiler(Path(sys.argv[1]), sys.argv[2:])
