"""What arrives for a run: which rows it has to be told of, and the order in which it sees them."""

from __future__ import annotations

import bisect
import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
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


class Bounds:
    """What a retried execution's history says of when things happened that were done again.

    A step that was done again has the time of that; what was seen, or asked for, after it has an earlier one. History's
    time must not run ahead of it: code that compares times would ask for something else than it did.
    """

    def __init__(self, steps: Iterable[StepRecord], recorded: Sequence[StepRecord]) -> None:
        asked = sorted((step for step in steps if step.seq > 0), key=lambda step: step.seq)
        self._seqs = [step.seq for step in asked]
        self._asked = _nearest([step.created_at for step in asked])
        self._seen = _nearest([moment_of(step) for step in recorded])
        self.seen = 0
        """How much of what is recorded the code has been told."""

    def of(self, step: StepRecord, asked: int) -> dt.datetime:
        """When the outcome of a step was seen: the last one that the code has been told, after it had asked for so
        many steps."""
        if step.seq < 0 or step.created_at <= self._asked_after(step.seq):
            return moment_of(step)  # it was not done again, or nothing goes by it
        return min(moment_of(step), self._asked_after(asked), self._seen[self.seen])

    def of_answer(self, at: dt.datetime, asked: int) -> dt.datetime:
        """When a step was answered that is answered right where it is asked for, if it says `at`."""
        return min(at, self._asked_after(asked))

    def _asked_after(self, seq: int) -> dt.datetime:
        """When the first of the steps after this one was asked for."""
        return self._asked[bisect.bisect_right(self._seqs, seq)]


def _nearest(moments: Sequence[dt.datetime]) -> list[dt.datetime]:
    """For each place the earliest moment from there on; and at the end one that never comes."""
    found = [dt.datetime.max.replace(tzinfo=dt.UTC)]
    for moment in reversed(moments):
        found.append(min(moment, found[-1]))
    return found[::-1]


def in_order(steps: Iterable[StepRecord]) -> list[StepRecord]:
    """Outcomes that nobody has seen yet, by (time, seq); but messages in the order in which they came into the inbox,
    whatever their senders' clocks say."""
    ordered = sorted(steps, key=lambda step: (moment_of(step), abs(step.seq)))
    places = [place for place, step in enumerate(ordered) if step.seq < 0]
    for place, step in zip(places, sorted((ordered[p] for p in places), key=lambda s: -s.seq), strict=True):
        ordered[place] = step
    return ordered
