"""Decisions, written, and what they ask for, sent after the commit.

What is written and never sent is due: a sweep sends it. What cannot be decided or written parks its execution."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Sequence

from django.conf import settings
from django.db import transaction

from automation import clock
from automation.durable import (
    canvas,
    closing,
    hooks,
    live_runs,
    liveness,
    local_activities,
    releasing,
    statements,
    states,
)
from automation.durable.records import Decision, ExecutionRecord
from automation.durable.replay import Run
from automation.models import StepKind

logger = logging.getLogger(__name__)

_ACTIVITY = str(StepKind.ACTIVITY)
_TIMER = str(StepKind.TIMER)


class Writing:
    """The side of a visit that writes. What a decision leaves to be done after it is kept for the visit's end."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.worker = liveness.claimant()
        self.statements = statements.current()
        self._unanswered: deque[tuple[Run, Decision]] = deque()
        self._errands: deque[tuple[uuid.UUID, int]] = deque()
        self._unread: list[ExecutionRecord] = []
        # Live runs that are this visit's alone. One that is kept may be taken by another thread the next moment.
        self._runs: weakref.WeakSet[Run] = weakref.WeakSet()

    def _append(self, decisions: Sequence[Decision], now: dt.datetime) -> set[uuid.UUID]:
        """Write decisions. One that says what no row can hold parks its own execution, and no other's is lost by it,
        or written twice."""
        plain = [decision for decision in decisions if not decision.effects]
        held = self._append_together(plain, now) if plain else set()
        for decision in decisions if len(plain) < len(decisions) else ():
            if decision.effects and self._append_with_effects(decision, now):
                held.add(decision.execution_id)
        return held

    def _append_together(self, decisions: Sequence[Decision], now: dt.datetime) -> set[uuid.UUID]:
        """In one statement; if that is refused, none of them is written yet, and each gets its own."""
        try:
            return self.statements.append(decisions, self.worker, now)
        except releasing.UNWRITABLE as error:
            if len(decisions) == 1:
                self._set_aside(decisions[0].execution_id, decisions[0].epoch, error)
                return set()
        return {held for decision in decisions for held in self._append_together([decision], now)}

    def _append_with_effects(self, decision: Decision, now: dt.datetime) -> bool:
        """One that changes rows of others, in a transaction with those."""
        try:
            with transaction.atomic():
                held = bool(self.statements.append([decision], self.worker, now))
                for effect in decision.effects if held else ():
                    effect(now)
        except releasing.UNWRITABLE as error:
            self._set_aside(decision.execution_id, decision.epoch, error)
            return False
        return held

    def _write(self, decided: Sequence[tuple[Run, Decision]]) -> set[uuid.UUID]:
        """Write decisions that carry nothing on, in one statement, and send what they asked for."""
        if not decided:
            return set()
        now = clock.now()
        for _, decision in decided:
            states.plan_dues(decision.new, now)
            if decision.unfinished:
                local_activities.plan(decision)
        held = self._append([decision for _, decision in decided], now)
        for run, decision in decided:
            if decision.execution_id in held and decision.ending is None:
                self._send(decision, now)
                if decision.unread:
                    self._unread.append(run.execution)
                if decision.unfinished and decision.keeps:
                    self._unanswered.append((run, decision))
                elif decision.unfinished:
                    run.close()
                    canvas.visit([(run.execution_id, None)], run.execution.queue)
                elif run.stands_back and any(step.completed_at is not None for step in decision.new):
                    run.close()  # what it stood back for has been run
                    canvas.visit([(run.execution_id, None)], run.execution.queue)
                elif not run.stands_back and (decision.unread or _is_near(decision, now) or live_runs.is_worth(run)):
                    self._runs.discard(run)
                    live_runs.keep(run)
                else:
                    run.close()
            else:
                # Ended; or somebody took it over meanwhile, and what was decided here is void.
                run.close()
                if decision.ending is not None and decision.execution_id in held:
                    hooks.ended(run.execution, decision.ending)
                    if decision.due is not None:
                        closing.settle_quietly(run.execution_id)
        return held

    def _send(self, decision: Decision, now: dt.datetime) -> None:
        self._errands.extend((decision.execution_id, seq) for seq in decision.errands)
        plain = [step for step in decision.new if step.kind == _ACTIVITY and step.canvas is None]
        if plain:
            canvas.parallel(decision.execution_id, plain, now)
        for head in {step.canvas for step in decision.new if step.canvas is not None}:
            members = [step for step in decision.new if step.canvas == head]
            canvas.segment(decision.execution_id, head, members, now)
        horizon = now + dt.timedelta(seconds=settings.DURABLE_COUNTDOWN_HORIZON)
        for step in decision.new:
            if step.kind == _TIMER and step.run_at is not None and step.run_at <= horizon:
                countdown = max(0.0, (step.run_at - now).total_seconds())
                canvas.fire([(decision.execution_id, step.seq)], self.queue, countdown=countdown)

    def _park(self, row: ExecutionRecord, run: Run | None, error: BaseException) -> None:
        if run is not None:
            run.close()
        for one in (error, error.__cause__):
            # The code, or what runs on its behalf, has asked a database that failed.
            if one is not None and releasing.is_blameless(one):
                raise one
        self._set_aside(row.id, row.epoch, error)

    def _set_aside(self, execution: uuid.UUID, epoch: int, error: BaseException) -> None:
        logger.error("execution %s is parked: %s", execution, error)
        states.park(execution, epoch, error)

    def _or_aside(self, execution: ExecutionRecord, write: Callable[[], bool]) -> bool:
        """Write, or park the execution whose decision says what no row can hold."""
        try:
            return write()
        except releasing.UNWRITABLE as error:
            self._set_aside(execution.id, execution.epoch, error)
            return False


def _is_near(decision: Decision, now: dt.datetime) -> bool:
    """Whether a run may be needed soon: one that only waits for a distant timer costs memory for nothing."""
    horizon = now + dt.timedelta(seconds=settings.DURABLE_COUNTDOWN_HORIZON)
    return not decision.new or any(step.run_at is None or step.run_at <= horizon for step in decision.new)
