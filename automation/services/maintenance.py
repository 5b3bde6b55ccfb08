"""Housekeeping: old executions and the rows of worker nodes that are gone."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import Q

from automation import clock
from automation.models import ENDED_STATUSES, ExecutionStep, WorkerHeartbeat, WorkflowExecution
from automation.services import bulk_tests, publishing, statistics

KEEP_EXECUTIONS = dt.timedelta(days=90)
KEEP_NODES = dt.timedelta(days=1)
BATCH = 500
"""Executions deleted in one transaction."""


def delete_old_executions(older_than: dt.timedelta = KEEP_EXECUTIONS) -> int:
    """Delete the executions, with their steps, that ended longer ago; returns how many.

    They are in their workflow's statistics before they go. Dead letters and parked executions have not ended: they
    wait for a person, and stay. Versions that were only tried, and bulk tests, go as well when they are old.
    """
    before = clock.now() - older_than
    # What ended before a time was created before it: `created_at` has an index, `completed_at` has none.
    old = WorkflowExecution.objects.filter(
        created_at__lt=before, completed_at__lt=before, status__in=ENDED_STATUSES
    ).order_by("created_at")
    # Runs that are not in their workflow's statistics stay until they are.
    statistics.roll_up_all()
    old = old.filter(Q(counted=True) | Q(workflow=None))
    total = 0
    while ids := list(old.values_list("id", flat=True)[:BATCH]):
        with transaction.atomic():
            # What was reopened meanwhile is left out.
            batch = WorkflowExecution.objects.filter(id__in=ids, completed_at__lt=before).select_for_update()
            going = list(batch.order_by("id").values_list("id", flat=True))
            ExecutionStep.objects.filter(execution_id__in=going).delete()
            WorkflowExecution.objects.filter(id__in=going).delete()
        total += len(going)
    publishing.forget_trials()
    bulk_tests.forget_old()
    return total


def forget_nodes(older_than: dt.timedelta = KEEP_NODES) -> int:
    """Delete the rows of worker nodes last seen longer ago; returns how many."""
    before = clock.unmoved() - older_than
    count, _ = WorkerHeartbeat.objects.filter(seen_at__lt=before).delete()
    return count
