"""What actions start: Python workflows, with their input checked against their signatures; and what these cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from automation import causes
from automation.actions import launches
from automation.actions.launches import Launch, Started
from automation.causes import Cause
from automation.durable import activity, starts
from automation.durable.registry import UnknownName
from automation.errors import Conflict, InvalidInput
from automation.models import OPEN_STATUSES, WorkflowExecution
from automation.services import catalogue, parameters, queues
from automation.workflows import DEFINITION

MAX_ANCESTORS = 20


class Launcher:
    """Starts what the registry knows, in its domain's queue."""

    def problems(
        self, workflow: str, texts: Mapping[str, str], values: Mapping[str, Any], pending: Sequence[str]
    ) -> dict[str, list[str]]:
        try:
            definition = catalogue.workflow_definition(_entry(workflow))
        except (UnknownName, InvalidInput) as error:
            return {"": [str(error)]}
        try:
            parameters.bind(definition, texts, values, pending)
        except InvalidInput as error:
            return {**error.fields} or {"": [error.message]}
        return {}

    def launch(self, launch: Launch) -> Started:
        entry = _entry(launch.workflow)
        args = parameters.bind(catalogue.workflow_definition(entry), launch.texts, launch.values)
        new = starts.NewExecution(
            launch.workflow,
            args,
            queue=queues.named(launch.queue) if launch.queue else entry.queue,
            business_id=launch.business_id,
            booking_id=launch.booking_id,
            organizer_id=launch.organizer_id,
            depth=launch.depth,
        )
        with transaction.atomic():
            if written := starts.start_many([new]):
                return Started(written[0], True)
            there = WorkflowExecution.objects.filter(
                namespace=settings.WORKFLOW_NAMESPACE, business_id=launch.business_id, status__in=OPEN_STATUSES
            ).first()
        if there is None:  # it has ended between our attempt and our look
            raise Conflict(f"an execution with the id {launch.business_id!r} was open a moment ago; try again")
        if (there.definition, there.organizer_id) != (launch.workflow, launch.organizer_id):
            raise InvalidInput(f"the id {launch.business_id!r} is in use by an execution of something else")
        return Started(there.id, False)


def connect() -> None:
    """Called once, when the app is ready."""
    launches.use(Launcher())
    causes.resolve_with(_of_activity)


def _entry(name: str) -> catalogue.Entry:
    if name == DEFINITION:
        raise InvalidInput(f"{DEFINITION!r} runs the workflows that organizers build; name one that code defines")
    return catalogue.workflow(name)


def _of_activity() -> Cause | None:
    """What an activity changes has its execution for a cause, so that a loop through Python workflows is cut, too."""
    context = activity._context.get()
    if context is None:
        return None
    id_ = context.info.execution_id
    chain = _chain(id_)
    return Cause("workflow", id_, chain[0][0], max(depth for _, depth in chain) + 1) if chain else None


def _chain(execution: UUID) -> list[tuple[UUID | None, int]]:
    """(workflow, depth) of an execution and of those that it is a child of: a child is as deep as its parent."""
    found: list[tuple[UUID | None, int]] = []
    next_: UUID | None = execution
    while next_ is not None and len(found) < MAX_ANCESTORS:
        rows = WorkflowExecution.objects.filter(id=next_).values_list("workflow_id", "depth", "parent_id")
        row = rows.first()
        if row is None:
            break
        found.append((row[0], row[1]))
        next_ = row[2]
    return found
