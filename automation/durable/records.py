"""Rows as the engine's hot paths carry them: plain records, no ORM."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from automation.durable.continuing import Continuation
    from automation.durable.starts import NewExecution


class ExecutionRecord(NamedTuple):
    """An execution that has just been taken over; `epoch` is the new one."""

    id: uuid.UUID
    epoch: int
    definition: str
    status: str
    business_id: str
    namespace: str
    queue: str
    priority: int
    input: str
    created_at: dt.datetime
    started_at: dt.datetime
    inbox_seq: int
    reopened: int
    recoveries: int
    parent_id: uuid.UUID | None
    parent_seq: int | None
    first_run_id: uuid.UUID | None
    previous_run_id: uuid.UUID | None
    deadline: dt.datetime | None
    options: str
    memo: str
    search_attributes: dict[str, Any] | None
    steps: int  # 0 when it is sure that there are none


class StepRecord(NamedTuple):
    """A step of the history. `name` and `kind` are matched on replay."""

    execution_id: uuid.UUID
    seq: int
    kind: str
    name: str
    status: str
    attempt: int
    resolved_seq: int | None
    queue: str
    priority: int
    canvas: int | None
    stage: int
    options: str
    input: str
    output: str
    failure: str
    run_at: dt.datetime | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    worker: str
    heartbeat: str
    due: dt.datetime | None


@dataclass(slots=True)
class NewStep:
    """A step that the code has asked for and that is not written yet."""

    seq: int
    kind: str
    name: str
    queue: str
    priority: int
    options: str
    input: str
    canvas: int | None = None
    stage: int = 0
    run_at: dt.datetime | None = None
    # What the row begins as; 'running' when the visit that appends it claims it at once.
    status: str = "pending"
    due: dt.datetime | None = None
    # Of a step that is written as ended already: a marker, a local activity.
    attempt: int = 0
    output: str = ""
    failure: str = ""
    started_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    # The execution that is written with it.
    child: NewExecution | None = None


@dataclass(slots=True)
class Outcome:
    """How an attempt of a step ended."""

    seq: int
    attempt: int
    status: str
    output: str
    failure: str
    completed_at: dt.datetime


@dataclass(slots=True)
class Ending:
    """How an execution ends."""

    status: str
    result: str = ""
    failure: str = ""
    error_message: str = ""
    actions_executed: int = 0
    actions_failed: int = 0
    continuation: Continuation | None = None  # of one that continues as new


Effect = Callable[[dt.datetime], None]
"""Changes rows in the transaction that writes a decision; called with its time."""


@dataclass(slots=True)
class Decision:
    """What one advance of one execution writes, in one commit, if the execution still is at `epoch`."""

    execution_id: uuid.UUID
    epoch: int
    inbox_seq: int
    seen: list[tuple[int, int]]  # (seq, resolved_seq)
    new: list[NewStep]
    cancelled: list[int]
    ending: Ending | None = None
    settled: Outcome | None = None  # of the step that this visit itself ran
    settled_order: int = 0  # its resolved_seq
    due: dt.datetime | None = None  # keep the execution due (null: its steps are)
    keeps: bool = False  # the visit carries on: the execution stays this worker's
    unread: bool = False  # found when it is written: a message has come since, which is this visit's to read
    leaves_open: bool = False  # it ends with steps pending or running, which are cancelled
    # What most decisions do without; a decision that has any of it costs more to write.
    effects: Sequence[Effect] = ()  # rows of others that change in the same transaction
    errands: Sequence[int] = ()  # steps that the visit sees to after the commit: messages to other executions
    unfinished: bool = False  # the code gets an answer to something that it asked for, before anything else is fed
