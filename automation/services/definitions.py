"""The active workflows that may react to a booking, each with the version it runs: read once for a whole batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from django.db import connections, models, router

from automation.errors import WeirError
from automation.models import Booking, Workflow, WorkflowVersion
from automation.services import versions
from automation.workflows import AutomationInput


class StaleVersions(Exception):
    """Some of the workflows have been edited since their latest version; `workflow_ids` are to be published first."""

    def __init__(self, workflow_ids: Sequence[UUID]) -> None:
        super().__init__(f"{len(workflow_ids)} workflows are newer than their versions")
        self.workflow_ids = workflow_ids


@dataclass(frozen=True)
class Definition:
    """An active workflow. `event_types` empty: all of the organizer's."""

    workflow: Workflow
    version: WorkflowVersion
    event_types: frozenset[UUID] = field(default_factory=frozenset)

    def matches(self, booking: Booking) -> bool:
        """Whether the workflow is about bookings such as this one."""
        return booking.organizer_id == self.workflow.organizer_id and (
            not self.event_types or booking.event_type_id in self.event_types
        )

    @cached_property
    def _planned(self) -> AutomationInput | WeirError:
        try:
            return versions.input_of(self.version.snapshot)
        except WeirError as error:
            return error

    @property
    def input(self) -> AutomationInput:
        """What its executions run. Raises InvalidInput where it cannot be planned."""
        if isinstance(self._planned, WeirError):
            raise self._planned
        return self._planned

    @property
    def problem(self) -> str:
        """Why it cannot run, or the empty string."""
        if isinstance(self._planned, WeirError):
            return self._planned.message
        return "" if self._planned.stages else "it has no active action"


def load(workflows: models.QuerySet[Workflow]) -> list[Definition]:
    """The active ones among `workflows`, in the order of their ids, in five queries.

    Inside a transaction they cannot be switched off, edited or deleted until it ends: what is planned from them
    commits before such a change, which then sees it, or after, and is not planned. Raises StaleVersions.
    """
    found = shared(workflows.filter(is_active=True).order_by("pk"))
    latest, stale = versions.current(found)
    if stale:
        raise StaleVersions(stale)
    event_types = versions.event_types_of(latest)
    return [
        Definition(workflow, latest[workflow.pk], frozenset(event_types.get(workflow.pk, ()))) for workflow in found
    ]


def of_organizers(organizer_ids: Collection[int]) -> list[Definition]:
    """Every active workflow of these organizers."""
    return load(Workflow.objects.filter(organizer_id__in=organizer_ids))


def shared(workflows: models.QuerySet[Workflow]) -> list[Workflow]:
    """The rows, locked against change but not against each other's readers (FOR SHARE), where the database can."""
    using = router.db_for_write(Workflow)
    if connections[using].vendor == "sqlite":
        return list(workflows.using(using))  # one writer at a time: the transaction is the lock
    query, parameters = workflows.query.sql_with_params()
    return list(Workflow.objects.using(using).raw(f"{query} FOR SHARE", parameters))
