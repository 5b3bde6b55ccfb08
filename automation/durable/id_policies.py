"""What happens to an id that is known already: the policies of reuse (its last execution has ended) and of conflict
(it is still going on).

Starters of one id go one after the other: on PostgreSQL by an advisory lock that lasts as long as the starter's
transaction, on SQLite by its only writer. The unique index on open business ids holds for those who do not ask here.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction

from automation import clock
from automation.durable import control, starts
from automation.durable.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from automation.durable.exceptions import WorkflowAlreadyStartedError
from automation.durable.starts import NewExecution
from automation.models import OPEN_STATUSES, ExecutionStatus, WorkflowExecution

TAKEN_OVER = "another execution with this id was started"

_GOING_ON = (*OPEN_STATUSES, ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER)
_UNSUCCESSFUL = (
    ExecutionStatus.FAILED,
    ExecutionStatus.CANCELLED,
    ExecutionStatus.TERMINATED,
    ExecutionStatus.TIMED_OUT,
)


@dataclass(frozen=True)
class Started:
    """The execution that a start came to; `existing`: it was there already (WorkflowIDConflictPolicy.USE_EXISTING)."""

    id: uuid.UUID
    existing: bool = False


def start(new: NewExecution) -> Started:
    """Start one execution, as the policies of its business id allow.

    Commits or rolls back with the caller's transaction. Raises WorkflowAlreadyStartedError.
    """
    now = clock.now()
    if not new.business_id:
        return Started(starts.start_many([new])[0])
    with transaction.atomic():
        existing = admit(new, now)
        if existing is not None:
            return Started(existing, existing=True)
        return Started(starts.insert([new], now)[0].id)


def admit(new: NewExecution, now: dt.datetime) -> uuid.UUID | None:
    """Make sure that `new` may be written, in the caller's transaction; or return the execution to use in its place."""
    starts.check(new)
    reuse, conflict = new.id_reuse_policy, new.id_conflict_policy
    if reuse == WorkflowIDReusePolicy.TERMINATE_IF_RUNNING:
        if conflict != WorkflowIDConflictPolicy.UNSPECIFIED:
            raise ValueError(
                "id_reuse_policy TERMINATE_IF_RUNNING cannot be combined with an id_conflict_policy; "
                "use ALLOW_DUPLICATE with TERMINATE_EXISTING"
            )
        reuse, conflict = WorkflowIDReusePolicy.ALLOW_DUPLICATE, WorkflowIDConflictPolicy.TERMINATE_EXISTING
    if reuse == WorkflowIDReusePolicy.REJECT_DUPLICATE and conflict == WorkflowIDConflictPolicy.TERMINATE_EXISTING:
        raise ValueError(
            "id_reuse_policy REJECT_DUPLICATE cannot be combined with TERMINATE_EXISTING: there would always be one"
        )
    _wait_for_others(new.business_id)
    runs = WorkflowExecution.objects.filter(namespace=settings.WORKFLOW_NAMESPACE, business_id=new.business_id)
    going_on = runs.filter(status__in=_GOING_ON).order_by("-id").first()
    if going_on is not None:
        match conflict:
            case WorkflowIDConflictPolicy.USE_EXISTING:
                return going_on.id
            case WorkflowIDConflictPolicy.TERMINATE_EXISTING:
                control.terminate(going_on.id, TAKEN_OVER)
                return None
        raise _already(new, going_on)
    last = runs.order_by("-id").first()
    if last is not None:
        refused = reuse == WorkflowIDReusePolicy.REJECT_DUPLICATE or (
            reuse == WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY and last.status not in _UNSUCCESSFUL
        )
        if refused:
            raise _already(new, last)
    return None


def _already(new: NewExecution, row: WorkflowExecution) -> WorkflowAlreadyStartedError:
    first = row.first_run_id or row.id
    return WorkflowAlreadyStartedError(new.business_id, new.definition, run_id=str(row.id), first_run_id=str(first))


def _wait_for_others(business_id: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            key = f"{settings.WORKFLOW_NAMESPACE}/{business_id}"
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
