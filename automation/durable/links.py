"""Links: the steps of one execution that a message names.

In a chain they run one after the other: a step is claimed in the statement that writes the outcome of the one before.
In a chunk (part of a chord's header, or of a gather) they do not depend on each other: as long as they are quick,
several are claimed at once and their outcomes are written together.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
import uuid
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings

from automation import clock
from automation.durable import completions, hooks, options, runner
from automation.durable.records import Outcome, StepRecord
from automation.durable.runner import Attempt, Ran
from automation.models import StepStatus

if TYPE_CHECKING:
    from automation.durable.visits import Visit

logger = logging.getLogger(__name__)

UNWRITTEN_SECONDS = 0.02
"""Outcomes of a chunk wait at most so long to be written, or until the step that is running ends."""

AHEAD = 16
"""Steps of a chunk that are claimed at once, at most."""

Ended = tuple[StepRecord | None, list[int]]
"""The last step that was run, and the steps that are handed over."""


def run_link(visit: Visit, execution: uuid.UUID, seqs: Sequence[int]) -> Ended:
    """Run steps one after the other."""
    waiting = visit.statements.load_members(execution, seqs)
    claimed: StepRecord | None = None
    last: StepRecord | None = None
    while waiting or claimed is not None:
        if claimed is None:
            if last is not None and visit.out_of_time():
                break
            now = clock.now()
            step = waiting.pop(0)
            claimed = visit.statements.claim(step, visit.worker, now, runner.lease_of(step.options, now))
            if claimed is None:
                continue  # done already, somebody else's, or not its time
        last = claimed
        claimed = _run_one(visit, claimed, waiting)
    return last, [step.seq for step in waiting]


def _run_one(visit: Visit, step: StepRecord, waiting: list[StepRecord]) -> StepRecord | None:
    """Run a claimed step and write its outcome; the next of the link, where it may follow at once, is claimed in the
    same statement."""
    outcome = _outcome(visit, step, _run(visit, step))
    if outcome is None:
        return None
    broken = outcome.status != StepStatus.COMPLETED and options.parse(step.options).stop
    following = None
    if waiting and not visit.out_of_time() and not (broken and step.canvas is not None):
        following = waiting[0]
    lease = runner.lease_of(following.options, outcome.completed_at) if following is not None else visit.lease()
    held, claimed = visit.statements.settle(
        step.execution_id, outcome, _watch(step, outcome), following, visit.worker, lease
    )
    if not held:
        refused(step.execution_id, step.seq)
    if claimed is not None:
        waiting.pop(0)
    return claimed


def run_chunk(visit: Visit, execution: uuid.UUID, seqs: Sequence[int]) -> Ended:
    """Run steps that do not depend on each other."""
    waiting = visit.statements.load_members(execution, seqs)
    unwritten: list[tuple[StepRecord, Outcome]] = []
    claimed: list[StepRecord] = []
    last: StepRecord | None = None
    ahead = 1
    while True:
        began = time.monotonic()
        while claimed:
            last = claimed.pop(0)
            outcome = _outcome(visit, last, _run(visit, last))
            if outcome is not None:
                unwritten.append((last, outcome))
            if time.monotonic() - began > UNWRITTEN_SECONDS:
                break
        quick = time.monotonic() - began < UNWRITTEN_SECONDS / 2
        ahead = min(2 * ahead, AHEAD) if quick else 1
        over = last is not None and visit.out_of_time()
        if over and claimed:
            # They have not begun: whoever takes them counts them as the attempt that they were claimed for.
            visit.statements.unclaim(execution, [step.seq for step in claimed], visit.worker, clock.now())
            waiting = [*claimed, *waiting]
            claimed = []
        wanted = [] if over or claimed else waiting[:ahead]
        waiting = waiting[len(wanted) :]
        claimed += _write_and_claim(visit, execution, unwritten, wanted)
        unwritten = []
        if over or not (claimed or waiting):
            return last, [step.seq for step in waiting]


def _write_and_claim(
    visit: Visit, execution: uuid.UUID, unwritten: Sequence[tuple[StepRecord, Outcome]], wanted: Sequence[StepRecord]
) -> list[StepRecord]:
    if not (unwritten or wanted):
        return []
    now = clock.now()
    lease = min((runner.lease_of(step.options, now) for step in wanted), default=visit.lease())
    outcomes = [(outcome, _watch(step, outcome)) for step, outcome in unwritten]
    written, claimed = visit.statements.settle_many(execution, outcomes, wanted, visit.worker, now, lease)
    for step, _ in unwritten:
        if step.seq not in written:
            refused(execution, step.seq)
    return claimed


def _run(visit: Visit, step: StepRecord) -> Ran:
    attempt = Attempt.of_row(step)
    visit.begun.add((step.execution_id, step.seq))
    return hooks.step(step.name, step.execution_id, step.seq, partial(runner.run, attempt, visit.worker))


def _outcome(visit: Visit, step: StepRecord, ran: Ran) -> Outcome | None:
    """The outcome that is to be written; None where there is none yet, or where it has been."""
    if ran.retry_at is not None:
        visit.retry(step.execution_id, step, step.attempt, ran)
    elif ran.handed_out:
        completions.hand_out(step.execution_id, step.seq, step.attempt)
    return None if ran.settled else ran.outcome


def _watch(step: StepRecord, outcome: Outcome) -> dt.datetime | None:
    """A canvas is watched over by its first member, a step by itself; both stay due until an advance has seen them."""
    if step.canvas is None or step.canvas == step.seq:
        return outcome.completed_at + dt.timedelta(seconds=settings.DURABLE_LEASE)
    return None


def refused(execution: uuid.UUID, seq: int) -> None:
    logger.warning("execution %s step #%s: the attempt was lost; its outcome is refused", execution, seq)
