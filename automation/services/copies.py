"""A copy of a workflow."""

from __future__ import annotations

from typing import Any

from automation.models import EventType, User, Workflow
from automation.services import publishing, workflows
from automation.services.portability import free_name
from automation.services.versions import ACTION_FIELDS, WORKFLOW_FIELDS

MAX_NAME = 190


def duplicate(
    workflow: Workflow, *, by: User | None = None, name: str = "", is_active: bool = False, draft: bool = False
) -> Workflow:
    """A new workflow of the same organizer, with copies of the actions and their secrets; off, unless `is_active`, so
    that nobody gets everything twice. draft: copy the draft, where there is one. Without a name it is called
    `Reminder (copy)`. Raises InvalidInput where the name is taken, or the draft cannot run."""
    content = publishing.content_of(workflow, draft=draft)
    fields: dict[str, Any] = {field: content[field] for field in WORKFLOW_FIELDS}
    fields["name"] = name or free_name(workflow.organizer, f"{str(content['name'])[:MAX_NAME]} (copy)")
    fields["tags"] = list(workflow.tags)
    fields["event_types"] = list(
        EventType.objects.filter(organizer=workflow.organizer_id, pk__in=content["event_types"])
    )
    fields["actions"] = [
        {field: action[field] for field in ACTION_FIELDS if field in action} for action in content["actions"]
    ]
    return workflows.create(workflow.organizer, by=by, is_active=is_active, **fields)
