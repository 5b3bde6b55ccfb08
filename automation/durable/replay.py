"""A run of a workflow's code over its history.

`Run.replay(steps)` starts the code, matches what it asks for with the rows by `seq`, kind and name, and feeds outcomes
in the order of `resolved_seq`; outcomes that no advance has seen yet follow, and get the next numbers. What the code
asked for beyond its history is left in `commands`. A run can be kept and fed on, which is how a visit carries an
execution from step to step without replaying it. One that was left behind, because others have decided since, catches
up: it repeats what they have seen. So each process runs the code once over a history, however long that grows.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from automation.durable import inbox, payloads, registry
from automation.durable.arrivals import Bounds, Wanted, in_order, moment_of
from automation.durable.asks import Waiter
from automation.durable.endings import Parked, continues_as_new, ending_of
from automation.durable.exceptions import NondeterminismError
from automation.durable.loop import DurableLoop
from automation.durable.memos import Notes
from automation.durable.messages import UPDATE_KIND, Messages, is_message
from automation.durable.outcomes import Fed, decode_arguments
from automation.durable.recorded import Recorded
from automation.durable.records import Decision, Effect, ExecutionRecord, NewStep, Outcome, StepRecord
from automation.models import StepKind, StepStatus

_LOCAL = str(StepKind.LOCAL_ACTIVITY)
_COMPLETED = str(StepStatus.COMPLETED)


def _outlives(step: NewStep) -> bool:
    """Whether a step is written even though its execution ends: what has been done already, and children that go on
    without their parent. Nothing else that an ended execution asked for is begun."""
    return step.completed_at is not None or (step.child is not None and step.child.options.parent_close == "ABANDON")


class Run(Recorded):
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
        # Steps whose outcome is fed before anything else, right after the code has asked for them: local activities,
        # and whether a child has started. So their outcomes need no place in the order.
        self.at_once: deque[int] = deque()
        self.errands: list[int] = []
        self.effects: list[Effect] = []
        self.patches: dict[str, bool] = {}
        self.has_children = False
        self._unseen: list[StepRecord] = []
        self._history: dict[int, StepRecord] = {}
        # What is not over yet, of what has been written; and the last message that has been read. See `wants`.
        self._open: set[int] = set()
        self._last_message = 0
        self._bounds: Bounds | None = None
        self._waiters: dict[int, Waiter] = {}
        self._answers: dict[int, Waiter] = {}
        self._conditions: list[tuple[Callable[[], bool], asyncio.Future[Any]]] = []
        self._main: asyncio.Task[Any] | None = None
        self._violation: BaseException | None = None
        self._recorded = False
        self._lenient = execution.reopened > 0
        # It waits in the middle of its history for a retried step, and is of no use for anything that follows.
        self.stands_back = False
        self.fed = 0
        # Why the code that is running must ask for nothing; empty where it may.
        self.read_only = ""
        self._messages: Messages | None = None
        self._notes: Notes | None = None
        self._fed_early: set[int] = set()
        self._starting = False
        self._last_seq = 0
        self._left = 0
        self.cancelling = False

    @property
    def messages(self) -> Messages:
        """Its handlers; made for the first message."""
        if self._messages is None:
            self._messages = Messages(self)
        return self._messages

    @property
    def notes(self) -> Notes:
        """Its memo and search attributes; read by the first who asks."""
        if self._notes is None:
            self._notes = Notes(self.execution)
        return self._notes

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

    def replay(self, steps: Iterable[StepRecord], *, news: bool = True) -> list[tuple[int, int]]:
        """Run the code over its whole history; returns (seq, resolved_seq) of the outcomes seen for the first time.
        Without `news`, what no advance has seen yet is left alone."""
        self._history = {step.seq: step for step in steps}
        recorded = sorted(
            (step for step in self._history.values() if step.resolved_seq),  # 0: cancelled by the code itself
            key=lambda step: step.resolved_seq or 0,
        )
        self.resolved = max((step.resolved_seq or 0 for step in recorded), default=0)
        self._last_seq = max(self._history, default=0)
        self._recorded = bool(recorded) or self._last_seq > 0
        if self.execution.reopened:
            self._bounds = Bounds(self._history.values(), recorded)
        self._make_instance()
        self._starting = True
        # Messages that came before the execution began are handled before the code's first line.
        seen_again = self._feed_early() if self.execution.inbox_seq else []
        self._start()
        self._starting = False
        seen_again += self._repeat([step for step in recorded if step.seq not in self._fed_early])
        return seen_again if self.stands_back or not news else seen_again + self._feed_new(self._history.values())

    def wants(self) -> Wanted:
        """The rows that this run, which has been kept, has to be told of before it goes on."""
        # Others may have answered updates that it is at.
        seqs = self._open if self._messages is None else self._open | self._messages.at_work
        return Wanted(self.execution_id, sorted(seqs), self.next_seq, self._last_message)

    def catch_up(self, steps: Iterable[StepRecord]) -> list[tuple[int, int]]:
        """Go on with the rows that were wanted: repeat what others have decided since this run was kept, if they have,
        and feed what is new. Raises NondeterminismError as `replay` does."""
        arrived = list(steps)
        self._bounds = None
        self._history.update((step.seq, step) for step in arrived)
        if self._messages is not None:
            self._messages.learn(arrived)
        recorded = sorted(
            (step for step in arrived if (step.resolved_seq or 0) > self.resolved),
            key=lambda step: step.resolved_seq or 0,
        )
        self._last_seq = max((step.seq for step in arrived), default=0)
        if not recorded and self._last_seq <= self.next_seq:
            return self._feed_new(arrived)
        self._recorded = True
        self.resolved = max((step.resolved_seq or 0 for step in recorded), default=self.resolved)
        seen_again = self._repeat(recorded)
        return seen_again if self.stands_back else seen_again + self._feed_new(arrived)

    def _repeat(self, recorded: Sequence[StepRecord]) -> list[tuple[int, int]]:
        """Feed what has been seen before, and check that the code asks for what it asked for then; returns what a
        retry has had done again."""
        seen_again: list[tuple[int, int]] = []
        self._left = len(recorded)
        self._drain()
        for step in recorded:  # retried steps keep their number, and are seen again
            if self.at_once:
                if not self._lenient:
                    self._check_at_once()
                # A retry took a failed local activity away: until it has been run again, what was seen after it waits.
                self._recorded = False
                self.stands_back = True
                return seen_again
            self._left -= 1
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
        return seen_again

    def _feed_new(self, steps: Iterable[StepRecord]) -> list[tuple[int, int]]:
        """Feed outcomes that no advance has seen, in the order of (time, seq)."""
        arrived = list(steps)
        self._unseen = in_order(step for step in arrived if step.resolved_seq is None and self._is_news(step))
        self._last_message = min(self._last_message, *(step.seq for step in arrived), 0)
        seen = self.proceed()
        self._forget_what_is_over([step.seq for step in arrived])
        return seen

    def proceed(self) -> list[tuple[int, int]]:
        """Feed what has arrived, up to where the code needs an answer at once; returns what was seen."""
        seen: list[tuple[int, int]] = []
        while self._unseen and not self.at_once and not self.continues:
            step = self._unseen.pop(0)
            if self._see(step, seen):
                self._feed(step)
        return seen

    @property
    def continues(self) -> bool:
        """Whether the code has asked for the next run. What it has not been told by then is the next run's to hear."""
        return continues_as_new(self._main) or (self._messages is not None and self._messages.continue_as_new)

    def _see(self, step: StepRecord, seen: list[tuple[int, int]]) -> bool:
        """Give an outcome its place in the order; False for an update that is refused, which gets none."""
        if step.kind == UPDATE_KIND and not self.messages.admit(step):
            self._history[step.seq] = step._replace(resolved_seq=0)
            return False
        self.resolved += 1
        seen.append((step.seq, self.resolved))
        self._history[step.seq] = step._replace(resolved_seq=self.resolved)
        return True

    def feed_own(self, outcome: Outcome, name: str, worker: str) -> int:
        """Feed the outcome of the step that this visit has just run, before it is written; returns its order."""
        self.resolved += 1
        self.fed += 1
        self._open.discard(outcome.seq)
        self._advance_time(outcome.completed_at)
        waiter = self._waiters.pop(outcome.seq, None)
        if waiter is not None:
            waiter(Fed(outcome.seq, name, outcome.status, outcome.output, outcome.failure, worker))
        self._drain()
        return self.resolved

    def look(self, steps: Sequence[StepRecord], *, ended: bool, paused: bool) -> None:
        """Run the code up to now for somebody who only wants to know its state: what it asks for is forgotten. Of an
        ended execution the last things that its code asked for were never written; a paused one sees nothing new."""
        self._lenient = self._lenient or ended
        # An update that nobody has accepted yet is no part of the state.
        known = [step for step in steps if step.resolved_seq is not None or step.kind != UPDATE_KIND]
        self.replay(known, news=not (ended or paused))
        self.commands.clear()
        self.at_once.clear()

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
            effects=self.effects,
            errands=self.errands,
            unfinished=bool(self.at_once),
        )
        if self._messages is not None:
            self._messages.settle(decision)
        left: dict[int, NewStep] = {}
        if decision.ending is not None:
            decision.new = [step for step in decision.new if _outlives(step)]
            for step in decision.new:
                if step.completed_at is None:
                    step.status, step.completed_at = _COMPLETED, self.now()  # nobody waits for it any more
            decision.leaves_open = any(seq not in self.commands for seq in self._waiters)
        elif self.at_once:  # a local activity is written when it has been run
            left = {seq: self.commands[seq] for seq in self.at_once if self.commands[seq].kind == _LOCAL}
            decision.new = [step for step in decision.new if step.seq not in left]
        self._open.update(step.seq for step in decision.new if step.completed_at is None)
        self.commands = left
        self.cancels, self.effects, self.errands = [], [], []
        return decision

    def close(self) -> None:
        self._conditions.clear()
        self.loop.close()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _make_instance(self) -> None:
        cls = self.definition.cls
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self.loop)
        try:
            self._arguments = decode_arguments(self.execution.input, self.definition.argument_hints)
            self.instance = cls(*self._arguments) if self.definition.takes_input_in_init else cls()
        except Exception as error:
            raise Parked(f"the workflow cannot be started: {error!r}") from error
        finally:
            asyncio._set_running_loop(outer)

    def _feed_early(self) -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        early = sorted((step for step in self._history.values() if inbox.came_early(step)), key=lambda step: -step.seq)
        for step in early:
            if step.resolved_seq == 0 or not (is_message(step) and self.messages.knows(step)):
                continue  # refused; or its handler is set by the code
            if step.resolved_seq is not None or (not self.continues and self._see(step, seen)):
                self._fed_early.add(step.seq)
                self._feed(step)
        return seen

    def _start(self) -> None:
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self.loop)
        try:
            coroutine = getattr(self.instance, self.definition.run)(*self._arguments)
        except Exception as error:
            raise Parked(f"the workflow cannot be started: {error!r}") from error
        finally:
            asyncio._set_running_loop(outer)
        self._main = self.loop.create_task(coroutine, name="run")
        self._drain()

    def _feed(self, step: StepRecord) -> None:
        self.fed += 1
        if self._bounds is not None and step.resolved_seq:
            self._bounds.seen += 1
        self._advance_time(moment_of(step) if self._bounds is None else self._bounds.of(step, self.next_seq))
        if step.kind == StepKind.CANCEL:
            self._cancel_main(step)
        elif step.seq < 0:
            self.messages.receive(step)
        else:
            waiter = self._waiters.pop(step.seq, None)
            if waiter is not None:
                members = self._members(step.seq) if step.canvas == step.seq else ()
                waiter(Fed.of(step, members))
            elif step.seq > self.next_seq:
                self._violate(
                    NondeterminismError(step.seq, f"{step.kind} {step.name!r} and its outcome", "nothing at that point")
                )
        self._drain()

    def _cancel_main(self, step: StepRecord) -> None:
        data = payloads.decode(step.input) or {}
        self.cancel_reason = data.get("reason", "")
        if self._main is not None:
            self.cancelling = True
            self._main.cancel(self.cancel_reason or "cancelled")
            self.cancelling = False

    def _drain(self) -> None:
        self._run_ready()
        while self.at_once and not self._starting and (known := self._history.get(self.at_once[0])) is not None:
            self._answer(Fed.of(known), known.completed_at if known.kind == _LOCAL else None)
            if self._recorded and not self._left and self._last_seq <= self.next_seq:
                # The history ends with this answer: what follows from it was not written.
                self._check_recorded()
                self._recorded = False
            self._run_ready()

    def answer(self, fed: Fed, at: dt.datetime | None) -> list[tuple[int, int]]:
        """Give the code what it needs at once, the first of `at_once`, and then what has arrived meanwhile."""
        self._answer(fed, at)
        self._drain()
        return self.proceed()

    def _answer(self, fed: Fed, at: dt.datetime | None) -> None:
        seq = self.at_once.popleft()
        if at is not None:
            self._advance_time(at if self._bounds is None else self._bounds.of_answer(at, self.next_seq))
        waiter = self._answers.pop(seq, None) or self._waiters.pop(seq, None)
        if waiter is not None:
            waiter(fed)

    def _run_ready(self) -> None:
        self.loop.drain()
        while self._conditions and self._meet_conditions():
            self.loop.drain()
        if self._violation is not None:
            raise self._violation

    def _meet_conditions(self) -> bool:
        met = False
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self.loop)  # a condition may ask what the workflow's code may
        try:
            for entry in list(self._conditions):
                condition, future = entry
                if future.done() or condition():
                    self._conditions.remove(entry)
                    if not future.done():
                        future.set_result(None)
                        met = True
        finally:
            asyncio._set_running_loop(outer)
        return met

    def _advance_time(self, moment: dt.datetime) -> None:
        # History's time never goes back, whatever the clocks of the hosts that wrote it.
        self.timestamp = max(self.timestamp, moment.timestamp())
