"""Versions: immutable snapshots of organizers' workflows.

A workflow's rows are its live definition, whoever edited them; before it runs, `publish` makes a version of them when
they differ from the latest one. So no edit is lost, and no version is made twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from automation.actions.registry import registry
from automation.models import User, Workflow, WorkflowAction, WorkflowVersion
from automation.rules import plan
from automation.workflows import AutomationInput, PlannedAction

WORKFLOW_FIELDS = ("name", "description", "trigger", "delay_minutes", "late_policy")
ACTION_FIELDS = (
    "name",
    "action_type",
    "order",
    "delay_minutes",
    "on_failure",
    "recipient",
    "custom_email",
    "custom_phone",
    "subject",
    "message",
    "webhook_url",
    "webhook_data",
    "webhook_secret_encrypted",
    "conditions",
    "update_booking_fields",
    "config",
    "is_active",
)


def publish(workflow: Workflow, by: User | None = None) -> WorkflowVersion:
    """The version of the workflow as its rows are now: a new one where they differ from the latest, else the latest."""
    publish_all([workflow.pk], by)
    workflow.refresh_from_db(fields=["version"])
    return WorkflowVersion.objects.get(workflow=workflow, number=workflow.version)


def publish_all(workflow_ids: Collection[UUID], by: User | None = None) -> list[WorkflowVersion]:
    """Publish these workflows in one transaction, in a constant number of queries; returns the versions it made."""
    with transaction.atomic():
        # In the order of ids, and before anything else, so that two publishers cannot wait for each other.
        workflows = list(Workflow.objects.filter(pk__in=workflow_ids).order_by("pk").select_for_update(of=("self",)))
        new = [
            WorkflowVersion(workflow=workflow, number=workflow.version + 1, snapshot=content, created_by=by)
            for workflow, latest, content in _compare(workflows)
            if latest is None or latest.snapshot != content
        ]
        WorkflowVersion.objects.bulk_create(new)
        Workflow.objects.filter(pk__in=[version.workflow_id for version in new]).update(version=F("version") + 1)
    return new


def current(workflows: Sequence[Workflow]) -> tuple[dict[UUID, WorkflowVersion], list[UUID]]:
    """The latest versions by workflow, and the ids of the workflows whose rows say something newer."""
    versions: dict[UUID, WorkflowVersion] = {}
    stale: list[UUID] = []
    for workflow, latest, content in _compare(workflows):
        if latest is None or latest.snapshot != content:
            stale.append(workflow.pk)
        else:
            versions[workflow.pk] = latest
    return versions, stale


def snapshot(workflow: Workflow) -> dict[str, Any]:
    """The workflow and its actions as JSON's own types; ids as text, actions in the order in which they run."""
    return snapshots([workflow])[0]


def snapshots(workflows: Sequence[Workflow]) -> list[dict[str, Any]]:
    """The same for many, in order, in a constant number of queries."""
    return [content for _, _, content in _compare(workflows)]


def input_of(content: Mapping[str, Any]) -> AutomationInput:
    """What an execution of this snapshot runs. Raises InvalidInput where it cannot be planned."""
    return AutomationInput(
        [
            [
                PlannedAction(
                    id=action.id,
                    name=action.name,
                    activity=registry.get(action.action_type).activity,
                    delay_minutes=action.delay_minutes,
                    stop_on_failure=action.stops_on_failure,
                )
                for action in stage.actions
            ]
            for stage in plan.stages(content["actions"])
        ]
    )


def event_types_of(workflow_ids: Iterable[UUID]) -> dict[UUID, list[UUID]]:
    """The event types that each workflow is limited to, sorted; workflows without a limit are absent."""
    found: dict[UUID, list[UUID]] = defaultdict(list)
    through = Workflow.event_types.through.objects.filter(workflow_id__in=list(workflow_ids))
    for workflow_id, event_type_id in through.values_list("workflow_id", "eventtype_id"):
        found[workflow_id].append(event_type_id)
    return {workflow_id: sorted(ids) for workflow_id, ids in found.items()}


def _compare(workflows: Sequence[Workflow]) -> list[tuple[Workflow, WorkflowVersion | None, dict[str, Any]]]:
    """Each workflow with its latest version and what its rows say now: three queries for any number of workflows."""
    ids = [workflow.pk for workflow in workflows]
    event_types = event_types_of(ids)
    actions: dict[UUID, list[WorkflowAction]] = defaultdict(list)
    for action in WorkflowAction.objects.filter(workflow_id__in=ids).order_by("order", "pk"):
        actions[action.workflow_id].append(action)
    latest = {
        version.workflow_id: version
        for version in WorkflowVersion.objects.filter(workflow_id__in=ids, number=F("workflow__version"))
    }
    return [
        (workflow, latest.get(workflow.pk), _content(workflow, event_types.get(workflow.pk, []), actions[workflow.pk]))
        for workflow in workflows
    ]


def _content(workflow: Workflow, event_types: Sequence[UUID], actions: Sequence[WorkflowAction]) -> dict[str, Any]:
    return {
        "id": str(workflow.pk),
        **{name: getattr(workflow, name) for name in WORKFLOW_FIELDS},
        "event_types": [str(event_type) for event_type in event_types],
        "organizer_id": workflow.organizer_id,
        "actions": [
            {"id": str(action.pk), **{name: getattr(action, name) for name in ACTION_FIELDS}} for action in actions
        ],
    }
