"""What is measured, of whom, and against which targets: the five measures of docs/benchmarks.md.

A measure takes one contender whose workers have just been started, warms it up and returns its figures of this
repetition. The contenders take turns within each repetition, so that a noisy minute hits all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from bench import cost
from bench.stage import Contender, Round, Stage

Figures = dict[str, float]

UNITS = {
    "rate": "steps/s",
    "worker_cpu": "CPU s per 1,000 steps, workers",
    "total_cpu": "CPU s per 1,000 steps, with servers",
    "postgres_cpu": "CPU s per 1,000 steps, PostgreSQL",
    "p50": "ms idle p50",
    "p95": "ms idle p95",
    "commits": "commits per execution",
    "writes": "of them with writes",
    "row_bytes": "bytes of rows per execution",
    "wal_bytes": "bytes of log per execution",
    "late_p50": "s late p50",
    "late_p95": "s late p95",
    "late_max": "s late worst",
    "timer_late_max": "s late worst, its timer's row",
    "memory": "MB of worker memory grown",
    "starting": "s to start them all",
    "whole": "s the whole",
    "first": "ms per step, first hundred",
    "last": "ms per step, last hundred",
    "step_of_few": "ms per step, executions of 10",
    "step_of_many": "ms per step, an execution of 1,000",
    "per_second": "per second",
    "ended_per_second": "ended per second",
}


@dataclass(frozen=True)
class Target:
    """A figure of Weir's, over a figure of a peer's where there is one, and the bound that it must keep."""

    label: str
    figure: str
    bound: float
    at_least: bool = False
    peer: str = ""
    over: str = ""  # the figure that it is divided by, Weir's own where no peer is named

    def value(self, medians: dict[str, Figures]) -> float | None:
        """The ratio or figure of a run, from its medians by contender; None where one of the two was not measured."""
        own = medians.get("weir", {}).get(self.figure)
        if own is None or not (self.peer or self.over):
            return own
        other = medians.get(self.peer or "weir", {}).get(self.over or self.figure)
        return own / other if other else None

    def held(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    @property
    def sign(self) -> str:
        return "≥" if self.at_least else "≤"


@dataclass(frozen=True)
class Sizes:
    """How much work a repetition does."""

    sequences: int = 600
    latencies: int = 100
    chords: int = 20
    chord_latencies: int = 20
    sleepers: int = 10_000
    sleep: float = 60.0
    long: int = 1000
    bookings: int = 100
    bulk: int = 5000


QUICK = Sizes(sequences=150, latencies=30, chords=5, chord_latencies=5, sleepers=2000, sleep=45.0, bookings=20)


class Measure(ABC):
    name: str
    title: str
    contenders: tuple[str, ...]
    targets: tuple[Target, ...]

    @abstractmethod
    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        """One repetition."""

    def warm_up(self, stage: Stage, contender: Contender, sizes: Sizes) -> None:
        """Import what is imported late, open the connections, and let the planner see tables that hold rows."""
        contender.ask("sequences", count=max(50, sizes.sequences // 5))
        stage.analyze()


class Sequence(Measure):
    name = "sequence"
    title = "(a) five trivial steps in sequence"
    contenders = ("raw", "tuned", "results", "weir")
    targets = (
        Target("throughput over Celery's defaults", "rate", 2.5, at_least=True, peer="raw"),
        Target("throughput over the tuned chain", "rate", 1.8, at_least=True, peer="tuned"),
        Target("throughput over django-celery-results", "rate", 8.0, at_least=True, peer="results"),
        Target("CPU per step over Celery's defaults, workers", "worker_cpu", 0.45, peer="raw"),
        Target("CPU per step over Celery's defaults, with servers", "total_cpu", 0.45, peer="raw"),
        Target("commits per execution", "commits", 8.0),
        Target("bytes of rows per execution", "row_bytes", 3000.0),
        Target("idle p50 over Celery's defaults", "p50", 1.0, peer="raw"),
    )

    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        self.warm_up(stage, contender, sizes)
        figures = _latency(contender.ask("sequence_latency", samples=sizes.latencies).answer["latencies"])
        measured = contender.ask("sequences", count=sizes.sequences)
        figures |= _throughput(measured)
        if contender.name == "weir":
            figures |= cost.of_sequences(stage, contender, sizes.sequences)
        return figures


class Chord(Measure):
    name = "chord"
    title = "(b) a hundred steps in parallel and a join"
    contenders = ("raw", "weir")
    targets = (Target("throughput over a raw chord", "rate", 3.0, at_least=True, peer="raw"),)

    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        self.warm_up(stage, contender, sizes)
        contender.ask("chords", count=2)
        figures = _latency(contender.ask("chord_latency", samples=sizes.chord_latencies).answer["latencies"])
        measured = contender.ask("chords", count=sizes.chords)
        return figures | _throughput(measured)


class Sleepers(Measure):
    name = "sleepers"
    title = "(c) 10,000 sleepers of 60 s, all due at one instant"
    contenders = ("raw", "weir")
    targets: tuple[Target, ...] = (
        Target("worst lateness over countdowns'", "late_max", 0.5, peer="raw"),
        Target("MB of worker memory grown", "memory", 20.0),
    )
    at_once = True

    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        self.warm_up(stage, contender, sizes)
        contender.ask("sleepers", count=50, delay=3.0)
        measured = contender.ask(
            "sleepers", count=sizes.sleepers, delay=sizes.sleep, at_once=self.at_once, watch_memory=True
        )
        late = sorted(measured.answer["lateness"])
        figures = {
            "late_p50": _quantile(late, 0.5),
            "late_p95": _quantile(late, 0.95),
            "late_max": late[-1],
            "memory": measured.memory_growth / 1e6,
            "starting": float(measured.answer["starting"]),
        }
        if "timer_lateness" in measured.answer:
            figures["timer_late_max"] = max(measured.answer["timer_lateness"])
        return figures


class SpreadSleepers(Sleepers):
    """Beside the targets: each sleeps its 60 s from its own start; they come due as fast as they were started."""

    name = "sleepers-spread"
    title = "(c') 10,000 sleepers of 60 s, each from its own start"
    targets = ()
    at_once = False


class Booking(Measure):
    name = "booking"
    title = "(d) from a booking's commit to its first action's start"
    contenders = ("weir",)
    targets = (Target("ms, p50", "p50", 30.0),)

    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        contender.ask("bookings", samples=10)
        stage.analyze()
        return _latency(contender.ask("bookings", samples=sizes.bookings).answer["latencies"])


class Thousand(Measure):
    name = "thousand"
    title = "(e) one execution of 1,000 steps"
    contenders = ("raw", "weir")
    targets = (
        Target("the last hundred steps over the first hundred", "last", 1.5, over="first"),
        Target("the whole over a raw chain of 1,000", "whole", 0.1, peer="raw"),
    )

    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        self.warm_up(stage, contender, sizes)
        answer = contender.ask("long", steps=sizes.long).answer
        figures = {"whole": float(answer["seconds"])}
        if "first" in answer:
            figures |= {"first": 1000 * float(answer["first"]), "last": 1000 * float(answer["last"])}
        return figures


class Typed(Measure):
    name = "typed"
    title = "(f) five steps from Python code, with a dataclass in and out"
    contenders = ("raw", "weir")
    targets = (Target("throughput over Celery's defaults", "rate", 2.2, at_least=True, peer="raw"),)

    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        self.warm_up(stage, contender, sizes)
        contender.ask("typed_sequences", count=50)
        return _throughput(contender.ask("typed_sequences", count=sizes.sequences))


class Local(Measure):
    name = "local"
    title = "(g) five local activities"
    contenders = ("raw", "weir")
    targets = (Target("throughput over Celery's defaults", "rate", 3.0, at_least=True, peer="raw"),)

    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        self.warm_up(stage, contender, sizes)
        contender.ask("local_sequences", count=50)
        return _throughput(contender.ask("local_sequences", count=sizes.sequences))


class Handover(Measure):
    name = "handover"
    title = "(h) steps that are a message each: an execution of 1,000 against some of 10"
    contenders = ("weir",)
    targets = (Target("a step of 1,000 over one of 10", "step_of_many", 2.0, over="step_of_few"),)

    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        self.warm_up(stage, contender, sizes)
        contender.ask("handovers", steps=10, count=3)
        few = contender.ask("handovers", steps=10, count=20)
        many = contender.ask("handovers", steps=sizes.long, count=1)
        return {"step_of_few": 1000 / few.rate, "step_of_many": 1000 / many.rate}


class Signals(Measure):
    name = "signals"
    title = "(i) 1,000 signals to one execution, handled in order"
    contenders = ("weir",)
    targets = (Target("signals per second", "per_second", 300.0, at_least=True),)

    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        self.warm_up(stage, contender, sizes)
        contender.ask("signals", count=50)
        return {"per_second": contender.ask("signals", count=sizes.long).rate}


class Bulk(Measure):
    name = "bulk"
    title = "(j) executions started five hundred to a call"
    contenders = ("weir",)
    targets = (Target("starts per second", "per_second", 1500.0, at_least=True),)

    def run(self, stage: Stage, contender: Contender, sizes: Sizes) -> Figures:
        self.warm_up(stage, contender, sizes)
        contender.ask("bulk", count=500)
        measured = contender.ask("bulk", count=sizes.bulk)
        return {
            "per_second": sizes.bulk / float(measured.answer["starting"]),
            "ended_per_second": measured.rate,
        }


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        *(Sequence(), Chord(), Sleepers(), SpreadSleepers(), Booking(), Thousand()),
        *(Typed(), Local(), Handover(), Signals(), Bulk()),
    )
}
DEFAULT = tuple(name for name, measure in MEASURES.items() if measure.targets)


def run(stage: Stage, measure: Measure, sizes: Sizes, only: tuple[str, ...]) -> Iterator[tuple[str, Figures]]:
    """One repetition of a measure: those of its contenders that are wanted, one after the other."""
    for name in measure.contenders:
        if name not in only:
            continue
        with stage.contender(name) as contender:
            yield name, measure.run(stage, contender, sizes)


def _throughput(measured: Round) -> Figures:
    return {
        "rate": measured.rate,
        "worker_cpu": measured.worker_cpu,
        "total_cpu": measured.total_cpu,
        "postgres_cpu": 1000 * measured.cpu["postgres"] / measured.steps,
    }


def _latency(seconds: list[float]) -> Figures:
    ordered = sorted(seconds)
    return {"p50": 1000 * _quantile(ordered, 0.5), "p95": 1000 * _quantile(ordered, 0.95)}


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
