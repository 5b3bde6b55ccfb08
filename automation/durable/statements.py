"""The statements of the hot paths, each one atomic: who may do what is decided in them, by row counts.

With PostgreSQL each is a single autocommitted statement (`statements_postgres`), elsewhere a short transaction through
the ORM (`statements_portable`). Lock order is execution, then step, and executions by id. Who else writes a status is
listed in docs/architecture.md; nobody outside of the engine does.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Protocol

from django.db import connection

from automation.durable import statements_portable, statements_postgres
from automation.durable.arrivals import Wanted
from automation.durable.records import Decision, ExecutionRecord, NewStep, Outcome, StepRecord
from automation.models import WorkflowExecution


class Statements(Protocol):
    """What both modules offer."""

    def start(self, row: WorkflowExecution) -> None:
        """Insert a new execution that collides with nothing: of no organizer's workflow, and with no id of a caller."""

    def take_over(
        self, wanted: Sequence[tuple[uuid.UUID, int | None]], worker: str, now: dt.datetime, lease: dt.datetime
    ) -> list[ExecutionRecord]:
        """Take executions over, to advance them: each gets a new epoch, which voids every decision made in an older
        one. An execution is left out when it is not open, is paused, is planned for later, or is at another epoch than
        the given one (None: any)."""

    def load_steps(self, executions: Sequence[uuid.UUID]) -> list[StepRecord]:
        """The steps of executions, by seq."""

    def load_wanted(self, wanted: Sequence[Wanted]) -> list[StepRecord]:
        """The steps that kept runs have to be told of. Open ones of which there is nothing to tell may be missing:
        those that wait for their time or a worker."""

    def append(self, decisions: Sequence[Decision], worker: str, now: dt.datetime) -> set[uuid.UUID]:
        """Write decisions, each only if its execution still is at its epoch (and, where it settles a step, that step's
        attempt still is this one's); returns the executions whose decision was written."""

    def carry(
        self,
        execution: uuid.UUID,
        epoch: int,
        inbox_seq: int,
        done: Outcome,
        order: int,
        step: NewStep,
        worker: str,
    ) -> bool:
        """One step of a visit: write the outcome of the step that it ran, and the next one as claimed already. False
        when the execution was taken over, got a message, or the attempt was lost: then nothing was written.

        A carried step has no `due`: its execution's, which stays this worker's until the visit ends, covers it."""

    def begin(
        self, execution: uuid.UUID, epoch: int, inbox_seq: int, step: NewStep, worker: str, now: dt.datetime
    ) -> bool:
        """The first step of a visit, as claimed already; False when the execution was taken over or got a message."""

    def watch(self, executions: Sequence[uuid.UUID], due: dt.datetime) -> None:
        """Give running steps that their execution's `due` covered one of their own."""

    def finish(self, decision: Decision, worker: str) -> bool:
        """`append` of one decision that settles the last step of an execution and ends it, leaving nothing open."""

    def let_go(self, execution: uuid.UUID, epoch: int, inbox_seq: int, due: dt.datetime) -> bool:
        """Stop carrying an execution whose step waits for another attempt: steps that run get a `due` of their own.
        Whether it has a message that is to be read first; then it is due itself."""

    def load_members(self, execution: uuid.UUID, seqs: Sequence[int]) -> list[StepRecord]:
        """Some steps of an execution, in the order of `seqs`."""

    def claim(self, step: StepRecord, worker: str, now: dt.datetime, lease: dt.datetime) -> StepRecord | None:
        """Start an attempt of a step that is ready; None when somebody else did, or it is not its time. Returns the
        step with its new attempt; what else it says is as it was loaded."""

    def settle(
        self,
        execution: uuid.UUID,
        done: Outcome,
        due: dt.datetime | None,
        following: StepRecord | None,
        worker: str,
        lease: dt.datetime,
    ) -> tuple[bool, StepRecord | None]:
        """Write an attempt's outcome, without deciding what follows for the execution; and start the first attempt of
        the step `following` in the same statement. (False, None) when the attempt was lost."""

    def settle_many(
        self,
        execution: uuid.UUID,
        done: Sequence[tuple[Outcome, dt.datetime | None]],
        wanted: Sequence[StepRecord],
        worker: str,
        now: dt.datetime,
        lease: dt.datetime,
    ) -> tuple[set[int], list[StepRecord]]:
        """Write outcomes of steps that do not depend on each other, each with its `due`, and claim others, in one
        statement; returns the seqs whose outcome was written (their attempt was not lost), and the claimed steps."""

    def unclaim(self, execution: uuid.UUID, seqs: Sequence[int], worker: str, now: dt.datetime) -> None:
        """Give back steps that this worker has claimed and not begun."""

    def retry(
        self, execution: uuid.UUID, seq: int, attempt: int, failure: str, run_at: dt.datetime, due: dt.datetime
    ) -> bool:
        """Put a failed attempt's step back to wait until `run_at`; False when the attempt was lost, or its step has
        been cancelled meanwhile."""

    def beat(
        self, execution: uuid.UUID, seq: int, attempt: int, details: str, now: dt.datetime, lease: dt.datetime
    ) -> tuple[bool, bool]:
        """Write a heartbeat. (still ours, asked to stop)."""

    def fire(self, timers: Sequence[tuple[uuid.UUID, int]], now: dt.datetime, due: dt.datetime) -> list[uuid.UUID]:
        """Complete timers whose time has come; returns the executions to wake."""


def current() -> Statements:
    """The statements for the database in use."""
    return statements_postgres if connection.vendor == "postgresql" else statements_portable
