"""Whether a workflow can do what its author meant: errors, warnings, and what the surroundings have to say.

An error keeps an action, or the workflow, from working. A warning may be meant. A runtime check looks at the
surroundings: bookings, servers, workers. Nothing is sent, called or changed; hosts are looked up, and the mail server
is connected to and left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from uuid import UUID

from automation.actions.base import ActionProblem
from automation.actions.config import ActionConfig
from automation.actions.registry import UnknownActionType, registry
from automation.errors import WeirError
from automation.models import EventType, Workflow
from automation.rules.workflow_analysis import analyse_workflow
from automation.services import publishing, runtime_checks, versions
from automation.services.runtime_checks import Check
from automation.services.workflow_checks import template_fields

Status = Literal["valid", "warnings", "invalid"]


@dataclass(frozen=True)
class Issue:
    """`code` is for programs; `path` names the place, `actions[1].message`; `line` is a template's."""

    code: str
    path: str
    message: str
    suggestion: str = ""
    line: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Validation:
    """`valid`: there is no error. `overall_status`: invalid where there is one, warnings where there is a warning or a
    check that is not ok, else valid."""

    errors: list[Issue] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)
    runtime_checks: list[Check] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        return not self.errors

    @property
    def overall_status(self) -> Status:
        if self.errors:
            return "invalid"
        unwell = self.warnings or any(check.status != "ok" for check in self.runtime_checks)
        return "warnings" if unwell else "valid"

    def as_dict(self) -> dict[str, Any]:
        return {
            "valid": self.valid,
            "errors": [issue.as_dict() for issue in self.errors],
            "warnings": [issue.as_dict() for issue in self.warnings],
            "runtime_checks": [asdict(check) for check in self.runtime_checks],
            "overall_status": self.overall_status,
        }


def validate(workflow: Workflow, *, draft: bool = False, runtime: bool = True) -> Validation:
    """What is live, or the draft where `draft` asks for it and there is one. Without `runtime`, nobody is looked up or
    connected to: for an editor that asks after every key."""
    content = publishing.content_of(workflow, draft=draft)
    event_types = event_types_of(workflow, content)
    result = inspect(content, event_types)
    if runtime:
        result.runtime_checks = runtime_checks.check(workflow, content, event_types)
    return result


def inspect(content: Mapping[str, Any], event_types: Sequence[EventType]) -> Validation:
    """Errors and warnings of a snapshot, from the snapshot and its event types alone."""
    result = Validation()
    broken: set[int] = set()
    actions = list(content.get("actions", ()))
    if not any(action.get("is_active", True) for action in actions):
        message = "The workflow has no active action, and does nothing."
        result.errors.append(Issue("no_active_action", "actions", message, "Add one, or switch one on."))
    for index, action in enumerate(actions):
        if not action.get("is_active", True):
            continue
        for problem in _problems(action):
            path = f"actions[{index}]"
            found = Issue(
                "configuration",
                f"{path}.{problem.path}" if problem.path else path,
                problem.message,
                problem.suggestion,
                problem.line,
            )
            if problem.severity == "error":
                broken.add(index)
                result.errors.append(found)
            else:
                result.warnings.append(found)
    result.errors += _plan_errors(content)
    concerns = analyse_workflow(
        content,
        [facts_of(event_type) for event_type in event_types],
        template_fields=template_fields(),
        broken=broken,
    )
    told = {issue.code for issue in result.errors}
    result.warnings += [
        Issue(concern.code, concern.path, concern.message, concern.suggestion, concern.line)
        for concern in concerns
        if not (concern.code == "nothing_active" and "no_active_action" in told)
    ]
    return result


def event_types_of(workflow: Workflow, content: Mapping[str, Any]) -> list[EventType]:
    """Those that the snapshot is for: its own, or all active ones of the organizer."""
    own = EventType.objects.filter(organizer_id=workflow.organizer_id)
    ids = [UUID(str(id_)) for id_ in content.get("event_types", ())]
    return list(own.filter(pk__in=ids) if ids else own.filter(is_active=True))


def facts_of(event_type: EventType) -> dict[str, Any]:
    """The event type as the context has it."""
    return {
        "event_type_id": str(event_type.pk),
        "event_type_name": event_type.name,
        "event_type_slug": event_type.slug,
        "event_type_description": event_type.description,
        "event_type_duration": event_type.duration,
        "event_type_location_type": event_type.location_type,
        "event_type_max_attendees": event_type.max_attendees,
    }


def _problems(action: Mapping[str, Any]) -> list[ActionProblem]:
    try:
        kind = registry.get(str(action.get("action_type", "")))
    except UnknownActionType as error:
        return [ActionProblem("action_type", error.message)]
    return kind.validate(ActionConfig.from_mapping(action))


def _plan_errors(content: Mapping[str, Any]) -> Iterator[Issue]:
    try:
        versions.input_of(content)
    except UnknownActionType:
        return  # told at its action
    except WeirError as error:
        yield Issue("cannot_be_planned", "actions", error.message)
