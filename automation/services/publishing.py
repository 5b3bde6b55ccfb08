"""Drafts, publishing and rolling back.

A workflow's rows are what is live. A draft lies beside them as JSON, may be unfinished, and runs nowhere; publishing
writes it into the rows, which makes a version, as any other edit of the rows does. What has begun stays on the version
that it began with; what is only planned follows the live one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from automation import clock
from automation.errors import Conflict, InvalidInput, NotFound
from automation.models import EventType, User, Workflow, WorkflowAction, WorkflowDraft, WorkflowVersion
from automation.models.ids import uuid7
from automation.services import versions, workflows
from automation.services.differences import SECRET, Change, changes
from automation.services.versions import ACTION_FIELDS, WORKFLOW_FIELDS


@dataclass(frozen=True)
class Publication:
    """What publishing made: the live version, and how it differs from the one before."""

    version: WorkflowVersion
    changes: list[Change]


def draft_of(workflow: Workflow) -> WorkflowDraft | None:
    return WorkflowDraft.objects.filter(workflow=workflow).select_related("updated_by").first()


def content_of(workflow: Workflow, *, draft: bool = False) -> dict[str, Any]:
    """The snapshot that is live; with `draft`, the draft's where there is one."""
    found = draft_of(workflow) if draft else None
    return versions.snapshot(workflow) if found is None else found.content


def save_draft(workflow: Workflow, *, by: User | None = None, **fields: Any) -> WorkflowDraft:
    """Change what is named, in the draft, which begins as what is live. `actions`, where named, is the whole list.

    fields: those of `workflows.update`, without `is_active`: whether a workflow is on is no matter of versions. What
    could not run is accepted; what the fields cannot hold is not. Raises InvalidInput with the problems by path.
    """
    unknown = sorted(set(fields) - {*WORKFLOW_FIELDS, "event_types", "actions"})
    if unknown:
        raise InvalidInput("The draft has unknown fields.", {name: ["A draft has no such field."] for name in unknown})
    with transaction.atomic():
        row = workflows.locked(workflow.pk)
        draft = WorkflowDraft.objects.filter(workflow=row).first()
        if draft is None:
            versions.publish(row)
            draft = WorkflowDraft(
                workflow=row,
                content=versions.snapshot(row),
                base_version=row.version,
                revision=0,
                created_at=clock.now(),
            )
        draft.content = _changed(row, draft.content, fields)
        draft.revision += 1
        draft.updated_by, draft.updated_at = by, clock.now()
        draft.save()
    return draft


def discard(workflow: Workflow) -> None:
    """Throw the draft away; without one nothing happens."""
    WorkflowDraft.objects.filter(workflow=workflow).delete()


def publish(workflow: Workflow, *, by: User | None = None, overwrite: bool = False, note: str = "") -> Publication:
    """Make the draft live. Raises Conflict where there is none, or where what is live has been edited since the draft
    began (unless `overwrite`), and InvalidInput, by path, for what cannot run."""
    with transaction.atomic():
        row = workflows.locked(workflow.pk)
        draft = WorkflowDraft.objects.filter(workflow=row).first()
        if draft is None:
            raise Conflict("There is no draft to publish; PATCH draft/ begins one.")
        versions.publish(row)  # an edit of the rows that is no version yet becomes one
        if draft.base_version != row.version and not overwrite:
            raise Conflict(
                f"The live workflow has been edited since the draft was begun (version {draft.base_version}, now "
                f"{row.version}). Look at the changes, and publish with 'overwrite': true, or discard the draft."
            )
        publication = _make_live(row, draft.content, by, note)
        draft.delete()
    workflow.refresh_from_db()
    return publication


def roll_back(workflow: Workflow, number: int, *, by: User | None = None) -> Publication:
    """Make an earlier version live again, as a new version. Secrets stay as they are now. Raises NotFound for a version
    that there is not, and InvalidInput where it cannot run any more: an event type of it is gone, say."""
    with transaction.atomic():
        row = workflows.locked(workflow.pk)
        version = version_of(row, number)
        versions.publish(row)
        present = {action["id"]: action for action in versions.snapshot(row)["actions"]}
        content = dict(version.snapshot)
        content["actions"] = [
            {**action, SECRET: present[action["id"]][SECRET]} if action["id"] in present else action
            for action in content.get("actions", ())
        ]
        _refuse_lost_event_types(row, content)
        publication = _make_live(row, content, by, f"Rolled back to version {number}.")
    workflow.refresh_from_db()
    return publication


def version_of(workflow: Workflow, number: int) -> WorkflowVersion:
    """Raises NotFound."""
    version = WorkflowVersion.objects.filter(workflow=workflow, number=number).select_related("created_by").first()
    if version is None:
        raise NotFound(f"The workflow has no version {number}; its latest is {workflow.version}.")
    return version


def trial_version(workflow: Workflow, content: Mapping[str, Any], by: User | None) -> WorkflowVersion:
    """A version that is only tried: it has no number, and is never live."""
    return WorkflowVersion.objects.create(workflow=workflow, number=None, snapshot=dict(content), created_by=by)


def forget_trials() -> int:
    """Delete the versions that were only tried, and whose executions are gone; returns how many."""
    unused = WorkflowVersion.objects.filter(number=None, executions=None)
    return WorkflowVersion.objects.filter(pk__in=list(unused.values_list("pk", flat=True))).delete()[0]


def _make_live(row: Workflow, content: Mapping[str, Any], by: User | None, note: str) -> Publication:
    before, number = versions.snapshot(row), row.version
    own = {action["id"] for action in before["actions"]}
    fields: dict[str, Any] = {name: content[name] for name in (*WORKFLOW_FIELDS, "event_types") if name in content}
    fields["actions"] = [
        {**_action_fields(action), "id" if action["id"] in own else "new_id": action["id"]}
        for action in content.get("actions", ())
    ]
    workflows.update(row, by=by, **fields)
    version = version_of(row, row.version)
    if note and row.version != number:
        version.note = note
        version.save(update_fields=["note"])
    return Publication(version, changes(before, version.snapshot))


def _action_fields(action: Mapping[str, Any]) -> dict[str, Any]:
    return {name: action[name] for name in ACTION_FIELDS if name in action}


def _refuse_lost_event_types(row: Workflow, content: Mapping[str, Any]) -> None:
    wanted = {str(id_) for id_ in content.get("event_types", ())}
    there = EventType.objects.filter(organizer_id=row.organizer_id, pk__in=wanted).values_list("pk", flat=True)
    if lost := sorted(wanted - {str(id_) for id_ in there}):
        raise InvalidInput(
            "This version cannot be live again as it was.",
            {"event_types": [f"The event type {id_} has been deleted." for id_ in lost]},
        )


def _changed(row: Workflow, content: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with these fields. Raises InvalidInput for values that they cannot hold."""
    result = dict(content)
    copy = Workflow(pk=row.pk, organizer_id=row.organizer_id, **{name: content[name] for name in WORKFLOW_FIELDS})
    copy._state.adding = False
    for name in WORKFLOW_FIELDS:
        if name in fields:
            setattr(copy, name, fields[name])
            result[name] = fields[name]
    problems = workflows.field_problems(copy)
    if "event_types" in fields:
        event_types = workflows.event_types_of(copy, fields["event_types"], problems)
        result["event_types"] = sorted(str(event_type.pk) for event_type in event_types)
    if "actions" in fields:
        result["actions"] = _changed_actions(copy, content.get("actions", ()), fields["actions"], problems)
    workflows.refuse(problems)
    return result


def _changed_actions(
    workflow: Workflow,
    present: Sequence[Mapping[str, Any]],
    given: Sequence[Mapping[str, Any]],
    problems: dict[str, list[str]],
) -> list[dict[str, Any]]:
    own = {str(action["id"]): action for action in present}
    actions: list[WorkflowAction] = []
    for index, data in enumerate(given):
        place = f"actions[{index}]"
        fields = dict(data)
        id_ = fields.pop("id", None)
        start = own.pop(str(id_), None) if id_ else {}
        if start is None:
            problems[f"{place}.id"] = [f"{id_} is no action of this draft, or is named twice."]
            continue
        action = WorkflowAction(workflow=workflow, id=UUID(str(id_)) if id_ else uuid7(), **_action_fields(start))
        if id_ is None and "order" not in fields:
            action.order = workflows.order_after(actions)
        try:
            workflows.assign_action(action, fields)
        except InvalidInput as error:
            problems |= {f"{place}.{name}": texts for name, texts in error.fields.items()}
        actions.append(action)
    if problems:
        return []  # nothing is kept, and what is no number has no place in an order
    # As they run, which is how snapshots have them.
    return [workflows.data_of(action) for action in sorted(actions, key=lambda action: (action.order, action.pk))]
