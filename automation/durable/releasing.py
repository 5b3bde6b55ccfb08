"""Giving back what a visit holds when one of its lines raised."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Collection

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection

from automation import clock
from automation.durable import give_up
from automation.models import ExecutionStep, StepStatus, WorkflowExecution

logger = logging.getLogger(__name__)

UNWRITABLE = (DataError, IntegrityError, ValueError, TypeError, RecursionError, OverflowError)
"""What it raises to write rows that say something impossible; to try again would raise it again."""

RELEASE_SECONDS = 60.0
"""How long a visit that lost the database tries to give back what it holds."""


def is_blameless(error: BaseException) -> bool:
    """Whether the database failed, or is not what the code expects (yet), rather than those who asked it."""
    return isinstance(error, DatabaseError | InterfaceError) and not isinstance(error, DataError | IntegrityError)


def release(
    held: Collection[uuid.UUID], worker: str, begun: Collection[tuple[uuid.UUID, int]], *, blameless: bool
) -> None:
    """Give back what this visit holds: this worker lives on, so no sweep would take it for lost.

    What the database did is not held against it. Anything else looks to the sweep like the death of a worker: it
    is tried again after growing pauses, and given up after DURABLE_MAX_RECOVERIES.
    """
    lost = f"{worker}/raised"  # no node reports this one
    deadline = time.monotonic() + RELEASE_SECONDS
    pause = 0.1
    while True:
        try:
            now = clock.now()
            executions = WorkflowExecution.objects.filter(id__in=held, worker=worker)
            steps = ExecutionStep.objects.filter(execution_id__in=held, status=StepStatus.RUNNING, worker=worker)
            if blameless:
                give_up.what_may_have_happened(steps, begun, now)
                steps.update(status=StepStatus.PENDING, worker="", due=now, run_at=now)
                executions.update(worker="", due=now)
            else:
                steps.update(worker=lost, due=now)
                executions.update(worker=lost, due=now)
        except (DatabaseError, InterfaceError) as error:
            connection.close()
            if time.monotonic() > deadline:
                logger.error("could not give back %s: %s", held, error)
                return
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
        else:
            return
