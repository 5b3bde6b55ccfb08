"""The same nothing that the raw peers' tasks do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from automation.durable import activity
from bench import marks


@activity.defn(name="bench_step")
def step(number: int) -> int:
    return number


@dataclass
class Parcel:
    """A typed payload such as people have."""

    number: int
    name: str
    weight: Decimal
    at: datetime
    labels: list[str] = field(default_factory=list)


@activity.defn(name="bench_typed_step")
def typed_step(parcel: Parcel) -> Parcel:
    return replace(parcel, number=parcel.number + 1)


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
