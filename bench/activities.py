"""The same nothing that the raw peers' tasks do."""

from __future__ import annotations

from automation.durable import activity
from bench import marks


@activity.defn(name="bench_step")
def step(number: int) -> int:
    return number


@activity.defn(name="bench_last")
def last(number: int) -> int:
    """The last step of a sequence."""
    marks.write()
    return number


@activity.defn(name="bench_join")
def join(results: list[int]) -> int:
    """What follows a hundred steps in parallel."""
    marks.write()
    return len(results)
