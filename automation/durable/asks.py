"""What workflow code asks of its run: steps, and that they be cancelled. `replay.Run` feeds what they come to."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from automation.durable import children, errands, texts
from automation.durable.exceptions import NondeterminismError, ReadOnlyContextError
from automation.durable.futures import ActivityCancellationType, ActivityHandle, StepFuture
from automation.durable.loop import DurableLoop, DurableTimer
from automation.durable.options import StepOptions
from automation.durable.outcomes import CanvasMember, Fed, result_of
from automation.durable.records import Effect, ExecutionRecord, NewStep, StepRecord
from automation.models import StepKind

_ACTIVITY = str(StepKind.ACTIVITY)
_TIMER = str(StepKind.TIMER)
_MARKER = str(StepKind.MARKER)

Waiter = Callable[["Fed"], None]


def _nobody(_fed: Fed) -> None:
    """Waits for a step that the code has let go."""


def is_passed_over(step: StepRecord) -> bool:
    """Whether the code may have dropped what this step stands for: the marker of a deprecated patch."""
    return step.kind == _MARKER and bool(step.options)


class Asks:
    """The side of a run that its code sees."""

    execution: ExecutionRecord
    execution_id: uuid.UUID
    loop: DurableLoop
    timestamp: float
    cancelling: bool
    has_children: bool
    next_seq: int
    read_only: str
    commands: dict[int, NewStep]
    cancels: list[int]
    effects: list[Effect]
    errands: list[int]
    at_once: deque[int]
    _history: dict[int, StepRecord]
    _waiters: dict[int, Waiter]
    _answers: dict[int, Waiter]
    _conditions: list[tuple[Callable[[], bool], asyncio.Future[Any]]]
    _recorded: bool
    _violation: BaseException | None

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
        if self.read_only:
            self.check_writable(f"ask for {kind} {name!r}")
        texts.check(f"the name of a step ({kind})", name, texts.NAME)
        texts.check("the name of a queue", queue, texts.QUEUE)
        self.next_seq += 1
        seq = self.next_seq
        known = self._history.get(seq)
        if known is None:
            self.commands[seq] = NewStep(seq, kind, name, queue, priority, options, input, canvas, stage, run_at)
        elif known.name != name or known.kind != kind:
            if is_passed_over(known):
                return self.ask(
                    kind,
                    name,
                    queue=queue,
                    priority=priority,
                    options=options,
                    input=input,
                    canvas=canvas,
                    stage=stage,
                    run_at=run_at,
                )
            self._violate(NondeterminismError(seq, f"{known.kind} {known.name!r}", f"{kind} {name!r}"))
        return seq

    def check_writable(self, what: str) -> None:
        """Raise where the code that is running only looks: a query handler, an update's validator."""
        if self.read_only:
            raise ReadOnlyContextError(f"{self.read_only} must not {what}: it only looks")

    def activity(
        self, name: str, input: str, *, queue: str, priority: int, options: StepOptions, result_hint: Any
    ) -> ActivityHandle:
        """Ask for an activity; the handle gets its decoded result, or an ActivityError."""
        seq = self.ask(_ACTIVITY, name, queue=queue, priority=priority, options=options.dump(), input=input)
        handle = ActivityHandle(loop=self.loop)
        handle.bind(self, seq)
        handle.activity = name
        if options.cancellation != "TRY_CANCEL":
            handle.cancellation = ActivityCancellationType[options.cancellation]
        self._waiters[seq] = partial(handle.resolve, hint=result_hint)
        return handle

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
        if seq in self.at_once:
            self.at_once.remove(seq)
        command = self.commands.pop(seq, None)
        if command is not None:
            for other in [other for other, member in self.commands.items() if member.canvas == seq]:
                del self.commands[other]
        elif not self._recorded:
            self.cancels.append(seq)

    def known(self, seq: int) -> StepRecord | None:
        """The step that the history has at this place."""
        return self._history.get(seq)

    def wait_for(self, seq: int, waiter: Waiter) -> None:
        """Have `waiter` called with what a step comes to."""
        self._waiters[seq] = waiter

    def answer_at_once(self, seq: int, waiter: Waiter) -> None:
        """Have `waiter` called with what came of asking for a step, before anything else is fed."""
        self._answers[seq] = waiter
        self.at_once.append(seq)

    def see_to(self, seq: int) -> None:
        """Have the visit see to a step after the commit."""
        if seq in self.commands:
            self.errands.append(seq)

    def abandon_step(self, seq: int) -> None:
        """Wait for a step no more, and leave it alone; or never write it."""
        if self.commands.pop(seq, None) is None and seq in self._waiters:
            self._waiters[seq] = _nobody
        else:
            self._waiters.pop(seq, None)
            if seq in self.at_once:
                self.at_once.remove(seq)

    def request_cancel(self, seq: int) -> bool:
        """Ask a step to stop, whose outcome is waited for; False when it was never written."""
        if seq in self.commands:
            self.cancel_step(seq)
            return False
        if not self._recorded:
            self.effects.append(partial(errands.request_cancel, self.execution_id, seq))
            self.errands.append(seq)
        return True

    def cancel_child(self, seq: int) -> bool:
        """Ask a child to end; False when it was never started."""
        if seq in self.commands:
            return False
        if not self._recorded:
            self.effects.append(partial(children.request_cancel, self.execution_id, [seq]))
            self.errands.append(seq)
        return True

    def wait_condition(self, condition: Callable[[], bool]) -> asyncio.Future[Any]:
        """A future that is set once `condition` holds; it is asked after every activation."""
        future = self.loop.create_future()
        self._conditions.append((condition, future))
        return future

    def _violate(self, error: NondeterminismError) -> None:
        """Remember it, since the code may catch even this, and raise it."""
        self._violation = self._violation or error
        raise error
