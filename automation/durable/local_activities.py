"""Local activities: run inside the visit that advances their execution, and recorded with what it writes next.

They cost no message and no commit of their own, and run at least once: if the visit dies before it has written, the
next one runs them again, with the same idempotency key. Their outcomes are fed right after the code has asked, before
anything else, so that they need no place in the order of outcomes. A wait between two attempts that is short is waited
for on the spot; a longer one is a timer.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings

from automation import clock
from automation.durable import failures, hooks, options, runner
from automation.durable.futures import ActivityHandle
from automation.durable.outcomes import CanvasMember, Fed
from automation.durable.records import Decision, NewStep
from automation.durable.runner import Attempt
from automation.models import StepKind, StepStatus

if TYPE_CHECKING:
    from automation.durable.replay import Run
    from automation.durable.visits import Visit

RETRY_THRESHOLD = 1.0
"""Seconds: a wait before the next attempt that is shorter is waited for in the visit, where nobody says otherwise."""

_LOCAL = str(StepKind.LOCAL_ACTIVITY)
_FAILED = str(StepStatus.FAILED)


class LocalActivity(ActivityHandle):
    """The handle of a local activity: one step, or several where timers lie between its attempts."""

    _timer: Any = None

    def __init__(self, run: Run, member: CanvasMember) -> None:
        super().__init__(loop=run.loop)
        self.activity = member.name
        self._member = member
        self._run = run
        self._ask(member.options)

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        if self._timer is not None:
            self._timer.cancel()
        self.cancel_asked = True
        self._run.cancel_step(self._seq)
        self._set_cancelled(msg)
        return True

    def _ask(self, limits: options.StepOptions) -> None:
        run = self._run
        seq = run.ask(_LOCAL, self._member.name, options=limits.dump(), input=self._member.input)
        self.bind(run, seq)
        if limits.since == 0:
            limits = replace(limits, first=seq, since=run.timestamp)
        run.wait_for(seq, partial(self._resolve, limits))
        run.at_once.append(seq)

    def _resolve(self, limits: options.StepOptions, fed: Fed) -> None:
        if self.done():
            return
        if not fed.output.startswith(options.AGAIN) or fed.status != _FAILED:
            self.resolve(fed, self._member.result_hint)
            return
        at, attempt = fed.output.removeprefix(options.AGAIN).split()
        again = replace(limits, attempt=int(attempt))
        self._timer = self._run.loop.call_at(float(at), self._ask, again)


def run_pending(visit: Visit, run: Run) -> list[tuple[int, int]]:
    """Run the local activities that the code waits for, and those that it asks for then; returns what was seen."""
    seen: list[tuple[int, int]] = []
    first = True
    while run.at_once and (step := run.commands[run.at_once[0]]).kind == _LOCAL:
        if not first and visit.out_of_time():
            break
        first = False
        _run(visit, run, step)
        fed = Fed(step.seq, step.name, step.status, step.output, step.failure, visit.worker)
        seen += run.answer(fed, step.completed_at)
    return seen


def plan(decision: Decision) -> None:
    """Before a decision is written whose code needs an answer: the visit keeps the execution for it; or, where a local
    activity is to be run for which it has no time, leaves it to the next."""
    if any(step.child is not None for step in decision.new):
        decision.keeps = True
    else:
        decision.due = clock.now() + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN)


def _run(visit: Visit, run: Run, step: NewStep) -> None:
    """Run one until it has an outcome, or waits for longer than the visit should."""
    limits = options.parse(step.options)
    execution = run.execution
    threshold = RETRY_THRESHOLD if limits.threshold is None else limits.threshold
    created_at = run.now() if limits.since == 0 else dt.datetime.fromtimestamp(limits.since, dt.UTC)
    number = limits.attempt
    step.started_at = clock.now()
    while True:
        attempt = Attempt(
            *(execution.id, limits.first or step.seq, step.name, number, execution.queue, step.options, step.input),
            *("", created_at, clock.now(), True),
        )
        ran = hooks.step(step.name, execution.id, step.seq, partial(runner.run, attempt, visit.worker))
        step.attempt = number
        if ran.outcome is not None:
            step.status, step.output, step.failure = ran.outcome.status, ran.outcome.output, ran.outcome.failure
            break
        if ran.retry_at is None:
            problem = RuntimeError(f"local activity {step.name!r} cannot be completed from outside")
            step.status, step.failure = _FAILED, failures.encode(problem)
            break
        wait = (ran.retry_at - clock.now()).total_seconds()
        number += 1
        if wait >= threshold or visit.out_of_time():
            step.status, step.failure = _FAILED, ran.failure
            step.output = f"{options.AGAIN}{ran.retry_at.timestamp()!r} {number}"
            break
        time.sleep(max(0.0, wait))
    step.completed_at = clock.now()
