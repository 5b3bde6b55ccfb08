"""A run of a workflow's code over its history.

`Run.replay(steps)` starts the code, matches what it asks for with the rows by `seq`, kind and name, and feeds outcomes
in the order of `resolved_seq`; outcomes that no advance has seen yet follow, and get the next numbers. What the code
asked for beyond its history is left in `commands`. A run can be kept and fed on, which is how a visit carries an
execution from step to step without replaying it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from automation.durable import payloads, registry
from automation.durable.endings import Parked, ending_of
from automation.durable.exceptions import (
    NondeterminismError,
)
from automation.durable.loop import DurableLoop, DurableTimer
from automation.durable.options import StepOptions
from automation.durable.outcomes import CanvasMember, Fed, decode_arguments, result_of
from automation.durable.records import Decision, ExecutionRecord, NewStep, Outcome, StepRecord
from automation.models import ENDED_STEP_STATUSES, StepKind, StepStatus

_ENDED = frozenset(str(status) for status in ENDED_STEP_STATUSES)
_ACTIVITY = str(StepKind.ACTIVITY)
_TIMER = str(StepKind.TIMER)
_COMPLETED = str(StepStatus.COMPLETED)

Waiter = Callable[["Fed"], None]


class StepFuture(asyncio.Future[Any]):
    """What code awaits for a step; cancelling it cancels the step."""

    _run: Run
    _seq: int

    def bind(self, run: Run, seq: int) -> StepFuture:
        self._run, self._seq = run, seq
        return self

    def cancel(self, msg: Any = None) -> bool:
        if not super().cancel(msg):
            return False
        self._run.cancel_step(self._seq)
        return True


class Run:
    """The live side of one execution."""

    def __init__(self, execution: ExecutionRecord) -> None:
        self.execution = execution
        self.execution_id = execution.id
        self.definition = registry.workflow(execution.definition)
        self.loop = DurableLoop(self)  # type: ignore[abstract]
        self.timestamp = execution.started_at.timestamp()
        self.random = random.Random(execution.id.int)  # noqa: S311  (reproducible is what is wanted)
        self.commands: dict[int, NewStep] = {}
        self.cancels: list[int] = []
        self.next_seq = 0
        self.resolved = 0
        self.expected_tasks = 0
        self.instance: Any = None
        self.cancel_reason: str | None = None
        self._history: dict[int, StepRecord] = {}
        self._waiters: dict[int, Waiter] = {}
        self._conditions: list[tuple[Callable[[], bool], asyncio.Future[Any]]] = []
        self._main: asyncio.Task[Any] | None = None
        self._violation: BaseException | None = None
        self._recorded = False
        self._lenient = execution.reopened > 0
        # It waits in the middle of its history for a retried step, and is of no use for anything that follows.
        self.stands_back = False

    # -- time ----------------------------------------------------------------------------------------------------------

    def now(self) -> dt.datetime:
        """The history's time, aware, in UTC."""
        return dt.datetime.fromtimestamp(self.timestamp, dt.UTC)

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(bytes=self.random.randbytes(16), version=4)

    @property
    def replaying(self) -> bool:
        return self._recorded

    # -- from rows to the present ----------------------------------------------------------------------------------

    def replay(self, steps: Iterable[StepRecord]) -> list[tuple[int, int]]:
        """Run the code over its whole history; returns (seq, resolved_seq) of the outcomes seen for the first time."""
        self._history = {step.seq: step for step in steps}
        recorded = sorted(
            (step for step in self._history.values() if step.resolved_seq),  # 0: cancelled by the code itself
            key=lambda step: step.resolved_seq or 0,
        )
        self.resolved = max((step.resolved_seq or 0 for step in recorded), default=0)
        self._recorded = bool(recorded) or any(seq > 0 for seq in self._history)
        self._start()
        seen_again: list[tuple[int, int]] = []  # retried steps, which keep their number
        for step in recorded:
            if not self._has_ended(step):
                # A retry keeps the failed step's place in the order: until it has an outcome again, what was seen
                # after it waits.
                self._recorded = False
                self.stands_back = True
                return seen_again
            self._feed(step)
            if step.due is not None:
                seen_again.append((step.seq, step.resolved_seq or 0))
        self._check_recorded()
        if not self._lenient:
            self._check_all_asked()
        self._recorded = False
        return seen_again + self.feed_new(self._history.values())

    def feed_new(self, steps: Iterable[StepRecord]) -> list[tuple[int, int]]:
        """Feed outcomes that no advance has seen, in the order of (time, seq)."""
        arrived = list(steps)
        for step in arrived:
            self._history[step.seq] = step
        unseen = [step for step in arrived if step.resolved_seq is None and self._is_news(step)]
        unseen.sort(key=lambda step: (step.completed_at or step.created_at, abs(step.seq)))
        seen = []
        for step in unseen:
            self.resolved += 1
            seen.append((step.seq, self.resolved))
            self._history[step.seq] = step._replace(resolved_seq=self.resolved)
            self._feed(step)
        return seen

    def feed_own(self, outcome: Outcome, name: str, worker: str) -> int:
        """Feed the outcome of the step that this visit has just run, before it is written; returns its order."""
        self.resolved += 1
        self._advance_time(outcome.completed_at)
        waiter = self._waiters.pop(outcome.seq, None)
        if waiter is not None:
            waiter(Fed(outcome.seq, name, outcome.status, outcome.output, outcome.failure, worker))
        self._drain()
        return self.resolved

    def decide(self, seen: list[tuple[int, int]]) -> Decision:
        """What the code has asked for since the last decision."""
        decision = Decision(
            execution_id=self.execution_id,
            epoch=self.execution.epoch,
            inbox_seq=self.execution.inbox_seq,
            seen=seen,
            new=list(self.commands.values()),
            cancelled=self.cancels,
            ending=ending_of(self._main, self.cancel_reason, self.definition.failure_exception_types),
        )
        if decision.ending is not None:
            decision.new = []  # nothing that an ended execution asked for is begun
            decision.leaves_open = any(seq not in self.commands for seq in self._waiters)
        self.commands = {}
        self.cancels = []
        return decision

    def close(self) -> None:
        self._conditions.clear()
        self.loop.close()

    # -- what the code calls -------------------------------------------------------------------------------------------

    def ask(
        self,
        kind: str,
        name: str,
        *,
        queue: str = "",
        priority: int = 0,
        options: str = "",
        input: str = "",
        canvas: int | None = None,
        stage: int = 0,
        run_at: dt.datetime | None = None,
    ) -> int:
        """Ask for a step: match it with the history, or remember it as a command. Returns its seq."""
        self.next_seq += 1
        seq = self.next_seq
        known = self._history.get(seq)
        if known is None:
            self.commands[seq] = NewStep(seq, kind, name, queue, priority, options, input, canvas, stage, run_at)
        elif known.name != name or known.kind != kind:
            self._violate(NondeterminismError(seq, f"{known.kind} {known.name!r}", f"{kind} {name!r}"))
        return seq

    def activity(
        self, name: str, input: str, *, queue: str, priority: int, options: StepOptions, result_hint: Any
    ) -> StepFuture:
        """Ask for an activity; the future gets its decoded result, or an ActivityError."""
        seq = self.ask(_ACTIVITY, name, queue=queue, priority=priority, options=options.dump(), input=input)
        future = StepFuture(loop=self.loop).bind(self, seq)

        def resolve(fed: Fed) -> None:
            if future.done():
                return
            value, error = result_of(fed, result_hint)
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        self._waiters[seq] = resolve
        return future

    def canvas(self, stages: Sequence[Sequence[CanvasMember]]) -> StepFuture:
        """Ask for a canvas: stages one after the other, a stage's members in parallel. The future gets the members'
        outcomes, (value, error) each, in order."""
        head = self.next_seq + 1
        hints = []
        for number, members in enumerate(stages):
            for member in members:
                seq = self.ask(
                    _ACTIVITY,
                    member.name,
                    queue=member.queue,
                    priority=member.priority,
                    options=member.options.dump(),
                    input=member.input,
                    canvas=head,
                    stage=number,
                )
                hints.append((seq, member.result_hint))
        future = StepFuture(loop=self.loop).bind(self, head)

        def resolve(fed: Fed) -> None:
            if not future.done():
                rows = {row.seq: row for row in fed.members}
                future.set_result([result_of(Fed.of(rows[seq]), hint) for seq, hint in hints])

        self._waiters[head] = resolve
        return future

    def start_timer(self, when: float, timer: DurableTimer) -> int:
        """Ask for a timer that runs `timer` at `when`, in seconds since the epoch."""
        seq = self.ask(_TIMER, "timer", run_at=dt.datetime.fromtimestamp(when, dt.UTC))

        def resolve(_fed: Fed) -> None:
            timer.fire()

        self._waiters[seq] = resolve
        return seq

    def cancel_timer(self, seq: int) -> None:
        if self._waiters.pop(seq, None) is not None:
            self.cancel_step(seq)

    def cancel_step(self, seq: int) -> None:
        """Cancel a step. One that was asked for in this very activation is never written: the gap in `seq` is repeated
        by every replay."""
        self._waiters.pop(seq, None)
        command = self.commands.pop(seq, None)
        if command is not None:
            for other in [other for other, member in self.commands.items() if member.canvas == seq]:
                del self.commands[other]
        elif not self._recorded:
            self.cancels.append(seq)

    def wait_condition(self, condition: Callable[[], bool]) -> asyncio.Future[Any]:
        """A future that is set once `condition` holds; it is asked after every activation."""
        future = self.loop.create_future()
        self._conditions.append((condition, future))
        return future

    # -- inside ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        cls = self.definition.cls
        arguments = decode_arguments(self.execution.input, self.definition.argument_hints)
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self.loop)
        try:
            self.instance = cls(*arguments) if self.definition.takes_input_in_init else cls()
            coroutine = getattr(self.instance, self.definition.run)(*arguments)
        except Exception as error:
            raise Parked(f"the workflow cannot be started: {error!r}") from error
        finally:
            asyncio._set_running_loop(outer)
        self._main = self.loop.create_task(coroutine, name="run")
        self._drain()

    def _feed(self, step: StepRecord) -> None:
        self._advance_time(step.completed_at or step.created_at)
        if step.kind == StepKind.CANCEL:
            self._cancel_main(step)
        else:
            waiter = self._waiters.pop(step.seq, None)
            if waiter is not None:
                members = self._members(step.seq) if step.canvas == step.seq else ()
                waiter(Fed.of(step, members))
            elif step.seq > self.next_seq:
                self._violate_now(
                    NondeterminismError(step.seq, f"{step.kind} {step.name!r} and its outcome", "nothing at that point")
                )
        self._drain()

    def _cancel_main(self, step: StepRecord) -> None:
        data = payloads.decode(step.input) or {}
        self.cancel_reason = data.get("reason", "")
        if self._main is not None:
            self._main.cancel(self.cancel_reason or "cancelled")

    def _drain(self) -> None:
        self.loop.drain()
        while self._conditions and self._meet_conditions():
            self.loop.drain()
        if self._violation is not None:
            raise self._violation

    def _meet_conditions(self) -> bool:
        met = False
        for entry in list(self._conditions):
            condition, future = entry
            if future.done() or condition():
                self._conditions.remove(entry)
                if not future.done():
                    future.set_result(None)
                    met = True
        return met

    def _advance_time(self, moment: dt.datetime) -> None:
        # History's time never goes back, whatever the clocks of the hosts that wrote it.
        self.timestamp = max(self.timestamp, moment.timestamp())

    def _members(self, head: int) -> list[StepRecord]:
        return sorted((step for step in self._history.values() if step.canvas == head), key=lambda step: step.seq)

    def _has_ended(self, step: StepRecord) -> bool:
        if step.seq < 0:
            return True
        if step.canvas == step.seq:
            return all(member.status in _ENDED for member in self._members(step.seq))
        return step.status in _ENDED

    def _is_news(self, step: StepRecord) -> bool:
        if step.seq < 0:
            return True
        if step.canvas is not None and step.canvas != step.seq:
            return False  # a canvas is seen once, at its first member
        return self._has_ended(step)

    def _check_recorded(self) -> None:
        """All that the code asked for in the past must be in its history. Asked once, at the end of it: outcomes that
        one advance saw together left no row of what the code asked for after the first and cancelled after the
        second."""
        if not self._recorded or self._lenient:
            return
        for seq, command in self.commands.items():
            self._violate_now(NondeterminismError(seq, "nothing at that point", f"{command.kind} {command.name!r}"))

    def _check_all_asked(self) -> None:
        for seq in sorted(self._history):
            if seq > self.next_seq:
                step = self._history[seq]
                self._violate_now(NondeterminismError(seq, f"{step.kind} {step.name!r}", "nothing more"))

    def _violate(self, error: NondeterminismError) -> None:
        """Within the code: remember it, since the code may catch even this, and raise it."""
        self._violation = self._violation or error
        raise error

    def _violate_now(self, error: NondeterminismError) -> None:
        self._violation = self._violation or error
        raise error
