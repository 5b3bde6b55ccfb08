"""The process that starts a contender's work and waits for it: one per contender, with only its own libraries loaded.

It is asked over its standard input, a JSON object a line, and answers in the same way on its standard output:
{"do": "sequences", "count": 400, "steps": 5} → {"seconds": 1.2, "steps": 2000}. Run as
`python -m bench.driver raw|tuned|results|weir`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.marks import VARIABLE, Marks

Answer = dict[str, Any]
TIMEOUT = 240.0
PAUSE = 0.01  # between two samples of an idle latency, so that everybody has gone back to waiting


class Driver(ABC):
    """What every contender can be asked to do. Times are seconds; latencies are lists of seconds."""

    def __init__(self) -> None:
        self.marks = Marks(Path(os.environ[VARIABLE]))

    @abstractmethod
    def start_sequence(self, steps: int) -> Any:
        """Start one sequence of `steps` steps, the way a web request would."""

    @abstractmethod
    def start_chord(self, size: int) -> Any:
        """Start `size` steps in parallel and a join."""

    @abstractmethod
    def start_sleeper(self, due: float) -> Any:
        """Start something that waits until `due` (seconds since the epoch)."""

    def settle(self, finished: float) -> float:
        """Wait until what has marked its end is also recorded, and say when the last was: nothing to do where an end
        is not recorded. `finished` is the time of the last mark."""
        return finished

    def sequences(self, count: int, steps: int = 5) -> Answer:
        return self._all(count, count * steps, lambda: self.start_sequence(steps))

    def chords(self, count: int, size: int = 100) -> Answer:
        return self._all(count, count * size, lambda: self.start_chord(size))

    def typed_sequences(self, count: int, steps: int = 5) -> Answer:
        """The same as `sequences`; a contender that has types uses them."""
        return self.sequences(count, steps)

    def local_sequences(self, count: int, steps: int = 5) -> Answer:
        """The same as `sequences`; a contender that can runs the steps where it decides."""
        return self.sequences(count, steps)

    def sequence_latency(self, samples: int, steps: int = 5) -> Answer:
        return self._one_by_one(samples, lambda: self.start_sequence(steps))

    def chord_latency(self, samples: int, size: int = 100) -> Answer:
        return self._one_by_one(samples, lambda: self.start_chord(size))

    def long(self, steps: int = 1000) -> Answer:
        """One sequence of many steps."""
        return self._all(1, steps, lambda: self.start_sequence(steps))

    def sleepers(self, count: int, delay: float, *, at_once: bool = True) -> Answer:
        """Start `count` sleepers one after the other. `at_once`: all wake at the same instant, `delay` seconds after
        the first was started; otherwise each sleeps `delay` seconds."""
        began = time.time()
        for _ in range(count):
            self.start_sleeper((began if at_once else time.time()) + delay)
        started = time.time()
        if at_once and started > began + delay:
            raise TimeoutError(
                f"starting {count} sleepers took {started - began:.1f} s, longer than they were to sleep"
            )
        marks = self.marks.collect(count, delay + TIMEOUT)
        self.settle(marks[-1].at)
        return {"starting": started - began, "lateness": self.lateness([mark.value for mark in marks])}

    def lateness(self, marked: list[float]) -> list[float]:
        """The lateness of the sleepers of this round, from their marks."""
        return sorted(marked)

    def _all(self, count: int, steps: int, start: Callable[[], Any]) -> Answer:
        began = time.time()
        for _ in range(count):
            start()
        started = time.time()
        marks = self.marks.collect(count, TIMEOUT)
        finished = self.settle(max(mark.at for mark in marks))
        return {"seconds": finished - began, "starting": started - began, "steps": steps}

    def _one_by_one(self, samples: int, start: Callable[[], Any]) -> Answer:
        latencies: list[float] = []
        for _ in range(samples):
            began = time.time()
            start()
            mark = self.marks.collect(1, TIMEOUT, patient=False)[0]
            latencies.append(self.settle(mark.at) - began)
            time.sleep(PAUSE)
        return {"latencies": latencies}


def serve(driver: Driver) -> None:
    """Answer until standard input ends. What the libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        driver.marks.drain()
        try:
            answer = getattr(driver, request.pop("do"))(**request) or {}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


def main() -> None:
    kind = sys.argv[1]
    driver: Driver
    if kind == "weir":
        from bench.weir_driver import WeirDriver

        driver = WeirDriver()
    else:
        from bench.raw.driver import RawDriver

        driver = RawDriver()
    serve(driver)


if __name__ == "__main__":
    main()
