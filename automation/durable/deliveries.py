"""What one execution sends to another: delivered at least once, taken once.

Each message has a key, which is the same however often it is delivered; it stands in the options of the row that the
target keeps of it. The target is locked alone: whoever sends holds no lock.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import TypeVar

from django.conf import settings
from django.db import transaction

from automation import clock
from automation.durable import control, inbox, states, texts
from automation.errors import Conflict, NotFound
from automation.models import (
    OPEN_STATUSES,
    ExecutionStep,
    StepKind,
    WorkflowExecution,
)

T = TypeVar("T")


def find(workflow_id: str, run_id: str = "") -> WorkflowExecution | None:
    """The execution that a message to this workflow id reaches: the open run, else the newest; or that very run."""
    if not texts.storable(workflow_id):
        return None
    rows = WorkflowExecution.objects.filter(namespace=settings.WORKFLOW_NAMESPACE).only("id", "status")
    as_id = _uuid(run_id or workflow_id)
    if run_id:
        return rows.filter(id=as_id).first() if as_id is not None else None
    of_business = rows.filter(business_id=workflow_id) if workflow_id else rows.none()
    found = of_business.filter(status__in=OPEN_STATUSES).first() or of_business.order_by("-id").first()
    if found is None and as_id is not None:
        found = rows.filter(id=as_id).first()
    return found


def reach(find: Callable[[], WorkflowExecution], send: Callable[[WorkflowExecution], T]) -> tuple[WorkflowExecution, T]:
    """Send a message to the run that `find` finds, and to the next one where that has continued as new just then;
    returns the run that took it, and what `send` returned. Raises what they raise, Conflict where none takes it."""
    row = find()
    while True:
        try:
            return row, send(row)
        except Conflict:
            following = find()
            if following.id == row.id:
                raise
            row = following


def signal(execution: uuid.UUID, name: str, text: str, key: str) -> None:
    """Put a signal into an execution's inbox; raises Conflict when it has ended, NotFound when it is gone."""
    with transaction.atomic():
        row = states.lock(execution)
        if row is None:
            raise NotFound(f"there is no execution {execution}")
        if _has(row, StepKind.SIGNAL, key):
            return
        if row.status not in inbox.RECEIVING:
            raise Conflict(f"execution {execution} has ended already ({row.status}); it takes no signals")
        inbox.put(row, StepKind.SIGNAL, name, text, clock.now(), key=key)


def cancel(execution: uuid.UUID, reason: str, key: str) -> None:
    """`control.cancel`, once for each key; what it ends at once remembers the key as well."""
    with transaction.atomic():
        row = states.lock(execution)
        if row is not None and _has(row, StepKind.CANCEL, key):
            return
        seq = control.cancel(execution, reason)
        if row is not None:
            _mark(row, inbox.note_cancel(execution, reason) if seq is None else seq, key)


@contextlib.contextmanager
def unless_ended() -> Iterator[None]:
    """Whom the message was for has ended, or is gone: nothing is left to be said to it."""
    with contextlib.suppress(Conflict, NotFound):
        yield


def _has(row: WorkflowExecution, kind: str, key: str) -> bool:
    """Whether this message has reached any run of the workflow id."""
    steps = ExecutionStep.objects.filter(seq__lt=0, kind=kind, options__in=_options(key))
    if not row.business_id:
        return steps.filter(execution=row).exists()
    runs = WorkflowExecution.objects.filter(namespace=row.namespace, business_id=row.business_id)
    first = row.first_run_id or row.id  # which may have had no business id yet
    return steps.filter(execution__in=[*runs.values_list("id", flat=True), first]).exists()


def _mark(row: WorkflowExecution, seq: int, key: str) -> None:
    ExecutionStep.objects.filter(execution=row, seq=seq).update(options=inbox.options(early=False, key=key))


def _options(key: str) -> list[str]:
    """What may stand in the row of the message with this key."""
    return [inbox.options(early=early, key=key) for early in (False, True)]


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
