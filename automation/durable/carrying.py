"""Carrying an execution on from step to step: run the step, feed its outcome to the live code, and write that outcome
and the next step, claimed already, in one statement."""

from __future__ import annotations

import abc
import datetime as dt
import time
import uuid
from collections.abc import Sequence
from functools import partial

from django.conf import settings

from automation import clock
from automation.durable import canvas, completions, hooks, links, options, pace, runner, timers
from automation.durable.exceptions import NondeterminismError
from automation.durable.records import Decision, ExecutionRecord, NewStep, Outcome, StepRecord
from automation.durable.replay import Run
from automation.durable.runner import Attempt, Ran
from automation.durable.writing import Writing
from automation.models import StepKind, StepStatus

_ACTIVITY = str(StepKind.ACTIVITY)


class Carrying(Writing, abc.ABC):
    """The side of a visit that runs steps, as long as its time budget lasts."""

    hands_over_at: float
    killed_at: float
    begun: set[tuple[uuid.UUID, int]]

    @abc.abstractmethod
    def _advance(self, wanted: Sequence[tuple[uuid.UUID, int | None]]) -> int:
        """Take executions over and act on what their code asks for."""

    @abc.abstractmethod
    def _decision_of(self, run: Run, seen: list[tuple[int, int]]) -> Decision:
        """What the code has asked for."""

    def _next_of(self, decision: Decision) -> NewStep | None:
        """The step that this visit can run itself: the only thing that was asked for, and of this queue."""
        if decision.ending is not None or not decision.new or decision.cancelled:
            return None
        if decision.unfinished or decision.errands:
            return None
        # What is over already (markers, local activities) is asked for in any number, and comes before it.
        step = decision.new[-1]
        if len(decision.new) > 1 and any(other.completed_at is None for other in decision.new[:-1]):
            return None
        if step.kind != _ACTIVITY or step.canvas is not None or step.run_at is not None or step.queue != self.queue:
            return None
        limits = options.parse(step.options)
        if limits.alone or limits.start_delay or limits.heartbeat is not None:
            return None  # it goes by itself: for Celery's rate limit, or with a lease of its own
        if time.monotonic() + limits.attempt_seconds() > self.killed_at:
            return None
        return step

    def out_of_time(self) -> bool:
        return time.monotonic() >= self.hands_over_at

    def _begin(self, run: Run, decision: Decision) -> None:
        """Write the first step that is carried, as claimed, and carry on from it."""
        step = decision.new[-1]
        now = clock.now()
        execution = run.execution
        if decision.seen or decision.effects or len(decision.new) > 1:
            step.status, decision.keeps = "running", True
            held = bool(self._append([decision], now))
        else:
            wanted = (execution.id, execution.epoch, execution.inbox_seq, step, self.worker, now)
            held = self._or_aside(execution, partial(self.statements.begin, *wanted))
        if held:
            if decision.unread:
                have_read(execution)
            self._carry(run, step, now)
        else:
            run.close()
            self._advance([(execution.id, execution.epoch)])  # still ours: it got a message, which is to be read first

    def _carry(self, run: Run, step: NewStep, now: dt.datetime) -> None:
        execution = run.execution
        while True:
            attempt = Attempt.of_new(execution, step, now)
            self.begun.add((execution.id, step.seq))
            began = time.monotonic()
            ran = hooks.step(step.name, execution.id, step.seq, partial(runner.run, attempt, self.worker))
            pace.took(step.name, time.monotonic() - began)
            outcome = ran.outcome
            if outcome is None:
                self._after_attempt(run, step, ran)
                return
            try:
                order = run.feed_own(outcome, step.name, self.worker)
                decision = self._decision_of(run, [(outcome.seq, order)] if ran.settled else [])
            except (NondeterminismError, Exception) as error:
                if not ran.settled:
                    self._settle(execution.id, outcome)
                self._park(execution, run, error)
                return
            following = None if self.out_of_time() else self._next_of(decision)
            if ran.settled:  # its outcome is written already
                now = clock.now()
                if not self._follow_settled(run, decision, following, now):
                    return
                assert following is not None
                step = following
                continue
            if following is None:
                decision.settled, decision.settled_order = outcome, order
                if not self._finish(run, decision):
                    self._settle_and_wake(execution.id, outcome)
                return
            now = outcome.completed_at
            if decision.effects or len(decision.new) > 1:
                decision.settled, decision.settled_order = outcome, order
                following.status, decision.keeps = "running", True
                held = bool(self._append([decision], now))
            else:
                named = (execution.id, execution.epoch, execution.inbox_seq)
                held = self._or_aside(
                    execution, partial(self.statements.carry, *named, outcome, order, following, self.worker)
                )
            if not held:
                run.close()
                self._settle_and_wake(execution.id, outcome)
                return
            if decision.unread:
                have_read(execution)
            step = following

    def _follow_settled(self, run: Run, decision: Decision, following: NewStep | None, now: dt.datetime) -> bool:
        """Write what follows from a step that wrote its outcome itself; whether `following` is this visit's to run."""
        if following is None:
            held = bool(self._write([(run, decision)]))
        else:
            following.status, decision.keeps = "running", True
            held = bool(self._append([decision], now))
            if held and decision.unread:
                have_read(run.execution)
        if not held:
            run.close()
            self._advance([(run.execution_id, None)])
        return held and following is not None

    def _finish(self, run: Run, decision: Decision) -> bool:
        """Write the outcome of the last step that this visit carries, and what follows from it."""
        ending, outcome = decision.ending, decision.settled
        if ending is None or outcome is None or decision.leaves_open or decision.cancelled:
            return bool(self._write([(run, decision)]))
        if decision.effects or decision.new or decision.due is not None:
            return bool(self._write([(run, decision)]))
        held = self._or_aside(run.execution, partial(self.statements.finish, decision, self.worker))
        run.close()
        if held:
            hooks.ended(run.execution, ending)
        return held

    def _after_attempt(self, run: Run, step: NewStep, ran: Ran) -> None:
        """The attempt did not end the step in the ordinary way."""
        run.close()
        execution = run.execution
        if ran.retry_at is not None:
            self.retry(execution.id, step, 1, ran)
        elif ran.handed_out:
            completions.hand_out(execution.id, step.seq, 1)
        if self.statements.let_go(execution.id, execution.epoch, execution.inbox_seq, self.lease()):
            have_read(run.execution)

    def _settle(self, execution: uuid.UUID, outcome: Outcome) -> bool:
        due = outcome.completed_at + dt.timedelta(seconds=settings.DURABLE_LEASE)
        held, _ = self.statements.settle(execution, outcome, due, None, self.worker, due)
        return held

    def _settle_and_wake(self, execution: uuid.UUID, outcome: Outcome) -> None:
        """The execution went on without this visit (a message came, it was paused, or recovered): what the code decided
        here is void, but the work that was done counts, if the attempt is still ours."""
        if self._settle(execution, outcome):
            self._advance([(execution, None)])
        else:
            links.refused(execution, outcome.seq)

    def retry(self, execution: uuid.UUID, step: NewStep | StepRecord, attempt: int, ran: Ran) -> None:
        now = clock.now()
        run_at = ran.retry_at or now
        due = timers.sweep_time(run_at, now)
        if self.statements.retry(execution, step.seq, attempt, ran.failure, run_at, due):
            again = NewStep(step.seq, step.kind, step.name, step.queue, step.priority, step.options, "", run_at=run_at)
            canvas.parallel(execution, [again], now)
        else:
            self._settle(execution, Outcome(step.seq, attempt, str(StepStatus.CANCELLED), "", ran.failure, now))

    def lease(self) -> dt.datetime:
        return clock.now() + dt.timedelta(seconds=settings.DURABLE_LEASE)


def have_read(execution: ExecutionRecord) -> None:
    """Have somebody else read the messages that came for an execution while this visit was at it."""
    canvas.visit([(execution.id, execution.epoch)], execution.queue, priority=execution.priority)
