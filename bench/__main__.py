"""`python -m bench [names…] [--repetitions 3] [--quick] [--solo]` and `python -m bench profile NAME`.

Measures Weir beside raw Celery on servers of its own, prints the table and writes var/bench.json. The exit status
is 0 when every target that was measured held, 1 when one was missed or a contender failed, 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from bench.measures import DEFAULT, MEASURES, QUICK, Sizes, run
from bench.report import Report
from bench.stage import CONTENDERS, ROOT, Stage, StageError

LETTERS = dict(zip("abcdefghij", DEFAULT, strict=True))
OUTPUT = ROOT / "var" / "bench.json"


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    # A polite kill unwinds the stack as Ctrl-C does, which ends every server and worker. (SIGINT itself is ignored in
    # what a shell script starts in the background, unless it is asked for.)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if arguments[:1] == ["profile"]:
            return _profile(arguments[1:])
        return _measure(arguments)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    except StageError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _measure(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[2] if __doc__ else "")
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"{', '.join(MEASURES)}, or a to j; by default all that have targets"
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one small repetition: does it work at all?")
    parser.add_argument("--solo", action="store_true", help="every contender on two solo workers")
    parser.add_argument("--only", help="these contenders only, e.g. raw,weir")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: var/bench.json")
    options = parser.parse_args(arguments)
    names = [LETTERS.get(name, name) for name in options.names] or list(DEFAULT)
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        parser.error(f"{unknown[0]!r} is no measure: expected one of {', '.join(MEASURES)}, or a to j")
    only = tuple(options.only.split(",")) if options.only else CONTENDERS
    if set(only) - set(CONTENDERS):
        parser.error(f"--only {options.only!r}: expected some of {','.join(CONTENDERS)}")
    repetitions = 1 if options.quick else options.repetitions
    sizes = QUICK if options.quick else Sizes()

    with Stage(solo=options.solo) as stage:
        contenders = sorted({one for name in names for one in MEASURES[name].contenders if one in only})
        stage.prepare(contenders)
        report = Report(stage, sizes, repetitions, quick=options.quick)
        began = time.monotonic()
        for repetition in range(1, repetitions + 1):
            for name in names:
                for contender, figures in run(stage, MEASURES[name], sizes, only):
                    report.add(name, contender, figures)
                    shown = "  ".join(f"{key} {value:,.2f}" for key, value in figures.items())
                    elapsed = time.monotonic() - began
                    print(f"[{elapsed:4.0f} s] {repetition}/{repetitions} {name} {contender}: {shown}", file=sys.stderr)
    print(report.as_text())
    report.write(options.output)
    missed = report.missed()
    for line in missed:
        print(f"bench: missed: {line}", file=sys.stderr)
    return 1 if missed else 0


def _profile(arguments: list[str]) -> int:
    from bench.profiling import WORK, profile

    parser = argparse.ArgumentParser(
        prog="python -m bench profile", description="Run one contender in a solo worker under cProfile."
    )
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("--measure", choices=sorted(WORK), default="sequence")
    parser.add_argument("--lines", type=int, default=40, help="how many functions to print")
    parser.add_argument("--output", type=Path, help="default: var/profile-NAME-MEASURE.pstats")
    options = parser.parse_args(arguments)
    output = options.output or ROOT / "var" / f"profile-{options.name}-{options.measure}.pstats"
    print(profile(options.name, options.measure, output, options.lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
