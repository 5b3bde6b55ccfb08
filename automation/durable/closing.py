"""What follows on an execution's end: its children's close policy, its parent's step, and the next run of its chain.

The next run is written in the transaction of the end. The rest is done after its commit; until then the row that has
ended keeps a `due`, by which a sweep finds it.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import F

from automation import clock
from automation.durable import continuing, run_options, states, texts
from automation.durable.records import Decision, ExecutionRecord
from automation.models import ExecutionStatus, ExecutionStep, StepKind, StepStatus, WorkflowExecution

logger = logging.getLogger(__name__)

WAITING = (ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER)
"""Not ended for good: a person can bring it back."""


def plan(execution: ExecutionRecord, decision: Decision, has_children: bool) -> None:
    """Add to the decision that ends an execution what has to follow; most have nothing."""
    ending = decision.ending
    assert ending is not None
    if execution.options or ending.continuation is not None:
        options = run_options.parse(execution.options)
        if ending.continuation is not None or options.retry is not None or options.cron:
            follow = partial(continuing.go_on, execution.id, ending.continuation)
            decision.effects = [*decision.effects, follow]
    if has_children or execution.parent_id is not None:
        decision.due = clock.now() + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN)


def end(row: WorkflowExecution, status: str, reason: str, now: dt.datetime, failure: str = "") -> None:
    """End an execution whose code is not asked, under its lock."""
    steps = ExecutionStep.objects.filter(execution=row)
    concerns_others = row.parent_id is not None or steps.filter(kind=StepKind.CHILD).exists()
    WorkflowExecution.objects.filter(id=row.id).update(
        status=status,
        error_message=texts.shown(reason),
        failure=failure,
        completed_at=now,
        due=now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN) if concerns_others else None,
        worker="",
        epoch=F("epoch") + 1,
    )
    steps.filter(status=StepStatus.PENDING).update(status=StepStatus.CANCELLED, completed_at=now, due=None)
    steps.filter(status=StepStatus.RUNNING).update(cancel_requested=True)
    states.close_alerts(row.id, now)
    if status == ExecutionStatus.TIMED_OUT:
        continuing.go_on(row.id, None, now)
    if concerns_others:
        transaction.on_commit(lambda: settle_quietly(row.id))


def settle(execution: uuid.UUID) -> None:
    """Tell whom an execution's end concerns; safe to do again."""
    from automation.durable import children  # which starts and ends executions, and so builds upon this module

    row = WorkflowExecution.objects.filter(id=execution).first()
    if row is None or row.completed_at is None or row.status in (*WAITING, *children.OPEN):
        return
    children.close(row.id)
    if row.parent_id is not None and not continuing.goes_on(row):
        children.report(row)
    WorkflowExecution.objects.filter(id=row.id, epoch=row.epoch, completed_at=row.completed_at).update(due=None)


def settle_quietly(execution: uuid.UUID) -> None:
    """`settle`; what fails is left to the sweep."""
    try:
        settle(execution)
    except Exception:
        logger.exception("the end of execution %s is not told to those whom it concerns; a sweep will", execution)
