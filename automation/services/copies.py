"""A copy of a workflow."""

from __future__ import annotations

from typing import Any

from automation.models import EventType, User, Workflow
from automation.services import publishing, workflows
from automation.services.versions import ACTION_FIELDS, WORKFLOW_FIELDS

MAX_NAME = 200


def duplicate(
    workflow: Workflow, *, by: User | None = None, name: str = "", is_active: bool = False, draft: bool = False
) -> Workflow:
    """A new workflow of the same organizer, with copies of the actions and their secrets; off, unless `is_active`, so
    that nobody gets everything twice. draft: copy the draft, where there is one. Without a name it is called
    `Reminder (copy)`. Raises InvalidInput where the name is taken, or the draft cannot run."""
    content = publishing.content_of(workflow, draft=draft)
    fields: dict[str, Any] = {field: content[field] for field in WORKFLOW_FIELDS}
    fields["name"] = name or free_name(workflow.organizer_id, str(content["name"]))
    fields["event_types"] = list(
        EventType.objects.filter(organizer=workflow.organizer_id, pk__in=content["event_types"])
    )
    fields["actions"] = [
        {field: action[field] for field in ACTION_FIELDS if field in action} for action in content["actions"]
    ]
    return workflows.create(workflow.organizer, by=by, is_active=is_active, **fields)


def free_name(organizer_id: int, name: str) -> str:
    """`name (copy)`, `name (copy 2)` and so on: the first that the organizer has not."""
    base = name[: MAX_NAME - 20]
    taken = set(
        Workflow.objects.filter(organizer_id=organizer_id, name__startswith=base).values_list("name", flat=True)
    )
    number = 1
    while (candidate := f"{base} (copy)" if number == 1 else f"{base} (copy {number})") in taken:
        number += 1
    return candidate
