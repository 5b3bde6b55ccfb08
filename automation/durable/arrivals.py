"""What arrives for a run: which rows it has to be told of, and the order in which it sees them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import NamedTuple

from automation.durable.records import StepRecord

EARLY = dt.timedelta(milliseconds=50)
"""A message that arrives this little before its row's time is served."""


class Wanted(NamedTuple):
    """What a kept run does not know of its execution's rows: how its `open` steps have come on, what was asked for
    after the step `above` and what came into the inbox after the message `below`. So what is read for an execution
    depends on what it waits for, and not on how long its history is."""

    execution_id: uuid.UUID
    open: list[int]
    above: int
    below: int


def moment_of(step: StepRecord) -> dt.datetime:
    """When it happened: a message when it came, anything else when it ended."""
    return step.created_at if step.seq < 0 else step.completed_at or step.created_at


def in_order(steps: Iterable[StepRecord]) -> list[StepRecord]:
    """Outcomes that nobody has seen yet, by (time, seq); but messages in the order in which they came into the inbox,
    whatever their senders' clocks say."""
    ordered = sorted(steps, key=lambda step: (moment_of(step), abs(step.seq)))
    places = [place for place, step in enumerate(ordered) if step.seq < 0]
    for place, step in zip(places, sorted((ordered[p] for p in places), key=lambda s: -s.seq), strict=True):
        ordered[place] = step
    return ordered
