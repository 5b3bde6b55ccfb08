"""What an execution receives from outside: signals, updates and queries, on the run's own side.

A signal or an update is a row of the inbox (negative `seq`), fed in the order of `resolved_seq` like every outcome. Its
handler runs as a task on the run's loop. An update that the validator refuses gets no place in that order, so replay
never sees it. What updates come to is written in the transaction of the decision that made them come to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime as dt
import inspect
import logging
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from automation.durable import failures, inbox, payloads
from automation.durable.common import RawValue
from automation.durable.endings import Parked, ending_of_failure
from automation.durable.exceptions import ApplicationError, CancelledError, ContinueAsNewError, FailureError
from automation.durable.handlers import QUERY, SIGNAL, UPDATE, Handler, HandlerUnfinishedPolicy, known_names
from automation.durable.outcomes import decode_arguments
from automation.durable.records import Decision, Ending, StepRecord
from automation.models import ExecutionStep, StepKind, StepStatus

if TYPE_CHECKING:
    from automation.durable.replay import Run

logger = logging.getLogger(__name__)

UPDATE_KIND = str(StepKind.UPDATE)
SIGNAL_KIND = str(StepKind.SIGNAL)
_PENDING = str(StepStatus.PENDING)

NO_HANDLER = "NoSuchHandler"
ENDED_FIRST = "AcceptedUpdateCompletedWorkflow"
"""The type of the failure of an update whose workflow ended before its handler did; the name is the SDK's server's."""

STACK_TRACE = "__stack_trace"


class UnfinishedSignalHandlersWarning(RuntimeWarning):
    """The workflow ended while signal handlers were still at work."""


class UnfinishedUpdateHandlersWarning(RuntimeWarning):
    """The workflow ended while update handlers were still at work: their askers get an error."""


@dataclass(frozen=True)
class UpdateInfo:
    """The update whose handler is running."""

    id: str
    name: str


current_update: contextvars.ContextVar[UpdateInfo | None] = contextvars.ContextVar("current_update", default=None)


@dataclass(frozen=True)
class Answer:
    """What an update has come to. `refused`: before it began, so that it leaves no trace."""

    seq: int
    status: str
    output: str = ""
    failure: str = ""
    refused: bool = False


class Messages:
    """The handlers of one run, and what they are at."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.handlers = {kind: dict(table) for kind, table in run.definition.handlers.items()}
        for kind in (SIGNAL, QUERY, UPDATE):
            self.handlers.setdefault(kind, {})
        self._at_work: dict[int, tuple[Handler, StepRecord]] = {}
        self._buffered: list[StepRecord] = []
        self._answers: list[Answer] = []
        self._failure: BaseException | None = None
        self._defect: Parked | None = None

    # -- feeding -------------------------------------------------------------------------------------------------------

    @property
    def at_work(self) -> set[int]:
        """The messages that handlers are at."""
        return set(self._at_work)

    def learn(self, steps: Iterable[StepRecord]) -> None:
        """Take note of what others have written of the messages that handlers are at."""
        for step in steps:
            if step.seq in self._at_work:
                self._at_work[step.seq] = (self._at_work[step.seq][0], step)

    def receive(self, step: StepRecord) -> None:
        """Begin to handle a signal, or an update that has been accepted; the run is drained afterwards."""
        if step.kind == UPDATE_KIND:
            self._begin_update(step)
        else:
            self._begin_signal(step)

    def knows(self, step: StepRecord) -> bool:
        """Whether there is a handler for a message."""
        return self._find(UPDATE if step.kind == UPDATE_KIND else SIGNAL, step.name) is not None

    def admit(self, step: StepRecord) -> bool:
        """Let an update in that nobody has seen yet, or refuse it."""
        handler = self._find(UPDATE, step.name)
        try:
            if handler is None:
                known = ", ".join(known_names(self.handlers[UPDATE])) or "none"
                raise ApplicationError(
                    f"update handler {step.name!r} expected but not found; known are: {known}", type=NO_HANDLER
                )
            args = _arguments(handler, step)
            context = contextvars.copy_context()
            context.run(current_update.set, _info_of(step))
            with self.looking("an update's validator"):
                context.run(handler.check, self.run.instance, args)
        except Exception as error:
            self._answers.append(Answer(step.seq, str(StepStatus.FAILED), failure=failures.encode(error), refused=True))
            return False
        return True

    def set_handler(self, kind: str, name: str | None, handler: Handler | None) -> None:
        """Put a handler in place, or take it away (None); signals that have waited for it are handled now."""
        if handler is None:
            self.handlers[kind].pop(name, None)
            return
        self.handlers[kind][name] = handler
        if kind == SIGNAL:
            waiting, self._buffered = self._buffered, []
            for step in waiting:
                self._begin_signal(step)

    def _begin_signal(self, step: StepRecord) -> None:
        handler = self._find(SIGNAL, step.name)
        if handler is None:
            self._buffered.append(step)  # until a handler is set
            return
        try:
            args = _arguments(handler, step)
        except (TypeError, ValueError, ArithmeticError) as error:
            logger.error("execution %s: signal %r is dropped: %s", step.execution_id, step.name, error)
            return
        self._at_work[step.seq] = (handler, step)
        self.run.loop.create_task(self._handle_signal(handler, step, args), name=f"signal: {step.name}")

    async def _handle_signal(self, handler: Handler, step: StepRecord, args: Sequence[Any]) -> None:
        try:
            result = handler.call(self.run.instance, args)
            if inspect.isawaitable(result):
                await result
        except ContinueAsNewError as error:
            self._failure = self._failure or error
        except Exception as error:
            self._fail(f"the handler of signal {step.name!r}", error)
        finally:
            self._at_work.pop(step.seq, None)

    def _begin_update(self, step: StepRecord) -> None:
        handler = self._find(UPDATE, step.name)
        if handler is None:
            raise Parked(f"update {step.name!r} was accepted, and the code has no handler for it any more")
        self._at_work[step.seq] = (handler, step)
        self.run.loop.create_task(self._handle_update(handler, step), name=f"update: {step.name}")

    async def _handle_update(self, handler: Handler, step: StepRecord) -> None:
        current_update.set(_info_of(step))  # in this task's own context, and in those of the tasks that it makes
        try:
            result = handler.call(self.run.instance, _arguments(handler, step))
            if inspect.isawaitable(result):
                result = await result
            output = payloads.encode(result, f"result of update {step.name!r}")
            self._answer(step, Answer(step.seq, str(StepStatus.COMPLETED), output))
        except asyncio.CancelledError as error:
            failure = failures.encode(CancelledError(str(error) or "Cancelled"))
            self._answer(step, Answer(step.seq, str(StepStatus.FAILED), failure=failure))
        except ContinueAsNewError as error:
            self._failure = self._failure or error
        except Exception as error:
            if self._is_failure(error):
                self._answer(step, Answer(step.seq, str(StepStatus.FAILED), failure=failures.encode(error)))
            else:
                self._fail(f"the handler of update {step.name!r}", error)
        finally:
            self._at_work.pop(step.seq, None)

    def _answer(self, step: StepRecord, answer: Answer) -> None:
        _, known = self._at_work.get(step.seq, (None, step))
        if known.status == _PENDING:  # else it has been written by the advance that this replays
            self._answers.append(answer)

    def _fail(self, what: str, error: Exception) -> None:
        if self._is_failure(error):
            self._failure = self._failure or error
        elif self._defect is None:
            self._defect = Parked(f"{what} raised {error!r}")
            self._defect.__cause__ = error

    def _is_failure(self, error: Exception) -> bool:
        """Whether it fails what it happens in; else it is a defect of the code."""
        return isinstance(error, (FailureError, *self.run.definition.failure_exception_types))

    def _find(self, kind: str, name: str) -> Handler | None:
        table = self.handlers[kind]
        return table.get(name) or (table.get(None) if not name.startswith("__") else None)

    # -- deciding ------------------------------------------------------------------------------------------------------

    @property
    def all_finished(self) -> bool:
        return not self._at_work

    @property
    def continue_as_new(self) -> bool:
        """Whether a handler has asked for the next run."""
        return isinstance(self._failure, ContinueAsNewError)

    def settle(self, decision: Decision) -> None:
        """Add to a decision what the handlers have come to. Raises Parked for a defect of theirs."""
        if self._defect is not None:
            raise self._defect
        if self._failure is not None and decision.ending is None:
            decision.ending = ending_of_failure(self._failure)
        answers, self._answers = self._answers, []
        if decision.ending is not None:
            answers += self._abandon(decision.ending)
        if answers:
            decision.effects = [*decision.effects, partial(write_answers, self.run.execution_id, answers)]

    def _abandon(self, ending: Ending) -> list[Answer]:
        """The execution ends: handlers that are still at work end with it."""
        left = list(self._at_work.values())
        loud = [(h, step) for h, step in left if h.unfinished_policy is HandlerUnfinishedPolicy.WARN_AND_ABANDON]
        for kind, category in (
            (SIGNAL, UnfinishedSignalHandlersWarning),
            (UPDATE, UnfinishedUpdateHandlersWarning),
        ):
            names = [step.name for handler, step in loud if handler.kind == kind]
            if names:
                warnings.warn(
                    f"workflow {self.run.execution_id} has ended ({ending.status}) while {kind} handlers were at work: "
                    f"{', '.join(names)}; wait for workflow.all_handlers_finished, or set "
                    "unfinished_policy=HandlerUnfinishedPolicy.ABANDON",
                    category,
                    stacklevel=2,
                )
        error = ApplicationError("the workflow ended before the update did", type=ENDED_FIRST, non_retryable=True)
        failure = failures.encode(error)
        return [
            Answer(step.seq, str(StepStatus.CANCELLED), failure=failure)
            for handler, step in left
            if handler.kind == UPDATE and step.status == _PENDING
        ]

    # -- looking -------------------------------------------------------------------------------------------------------

    def ask(self, name: str, text: str) -> str:
        """Answer a query by name, with encoded arguments; returns the encoded result. Raises LookupError for a query
        that there is no handler for, and whatever the handler raises."""
        handler = self._find(QUERY, name)
        if handler is None and name == STACK_TRACE:
            return payloads.encode(self._stack_trace())
        if handler is None:
            known = ", ".join(known_names(self.handlers[QUERY])) or "none"
            raise LookupError(f"query handler {name!r} expected but not found; known are: {known}")
        with self.looking("a query handler"):
            if handler.name is None:
                args: list[Any] = [name, _raw_values(text)]
            else:
                args = decode_arguments(text, handler.argument_hints)
            result = handler.call(self.run.instance, args)
            if inspect.iscoroutine(result):
                result = _at_once(result, name)
        return payloads.encode(result, f"result of query {name!r}")

    @contextlib.contextmanager
    def looking(self, what: str) -> Iterator[None]:
        """Run workflow code that must ask for nothing durable."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self.run.loop)
        self.run.read_only = what
        try:
            yield
        finally:
            self.run.read_only = ""
            asyncio._set_running_loop(outer)

    def _stack_trace(self) -> str:
        lines = []
        for task in self.run.loop.live_tasks:
            if task.done():
                continue
            lines.append(f"{task.get_name()}:")
            lines += [
                f'  File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_name}'
                for frame in task.get_stack()
            ]
        return "\n".join(lines)


def write_answers(execution: uuid.UUID, answers: Sequence[Answer], now: dt.datetime) -> None:
    """Write what updates have come to, in the transaction of the decision."""
    for answer in answers:
        changes: dict[str, Any] = {"resolved_seq": 0} if answer.refused else {}
        ExecutionStep.objects.filter(execution_id=execution, seq=answer.seq, kind=StepKind.UPDATE).update(
            status=answer.status, output=answer.output, failure=answer.failure, completed_at=now, **changes
        )


def _arguments(handler: Handler, step: StepRecord) -> list[Any]:
    if handler.name is None:
        return [step.name, _raw_values(step.input)]
    return decode_arguments(step.input, handler.argument_hints)


def _raw_values(text: str) -> list[RawValue]:
    return [RawValue(payloads.encode(value)) for value in payloads.decode(text) or []]


def _info_of(step: StepRecord) -> UpdateInfo:
    return UpdateInfo(inbox.update_id(step.options), step.name)


def _at_once(coroutine: Any, name: str) -> Any:
    """The result of a coroutine that must not wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError(f"query {name!r}: its handler waits for something; a query answers at once")


def is_message(step: StepRecord) -> bool:
    return step.kind in (SIGNAL_KIND, UPDATE_KIND)
