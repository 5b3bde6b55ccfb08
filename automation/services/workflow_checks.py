"""What is wrong with a workflow that somebody wants to save, by the path of each field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import CharField, IntegerField, TextField

from automation.actions.config import ActionConfig
from automation.actions.registry import UnknownActionType, registry
from automation.models import User, Workflow, WorkflowAction
from automation.rules.problems import none_of, told
from automation.rules.values import preview

Problems = dict[str, list[str]]
"""{`actions[1].conditions[0].rules[2].field`: [what is wrong, and what would be right]}."""

TEMPLATE_KINDS = ("template", "html", "json")
"""The kinds of an action type's fields whose texts are templates."""


def check_action(data: Mapping[str, Any], place: str = "") -> Problems:
    """What is wrong with one action: its type, and its configuration as that type sees it. Warnings do not count.

    `data` holds the action's fields (those of a request laid over those of the row, for a change); `place` is put
    before each path.
    """
    prefix = f"{place}." if place else ""
    try:
        action_type = registry.get(str(data.get("action_type", "")))
    except UnknownActionType as error:
        return {f"{prefix}action_type": [error.message]}
    problems: Problems = {}
    for found in action_type.validate(ActionConfig.from_mapping(data)):
        if found.severity == "error":
            path = f"{prefix}{found.path}" if found.path else place or "action_type"
            problems.setdefault(path, []).append(told(found.message, found.suggestion, found.line))
    return problems


def check_actions(actions: Sequence[Mapping[str, Any]]) -> Problems:
    """The same for a workflow's list of actions."""
    problems: Problems = {}
    for index, action in enumerate(actions):
        problems |= check_action(action, f"actions[{index}]")
    return problems


def check_permitted(organizer: User, action: WorkflowAction, place: str = "") -> Problems:
    """Why this organizer may not have this action: what it does is reserved for others."""
    config = ActionConfig.from_mapping({"action_type": action.action_type, "config": action.config})
    try:
        problem = registry.get(action.action_type).objection(organizer, config)
    except UnknownActionType:  # which is said elsewhere
        return {}
    return {f"{place}.{problem.path}" if place else problem.path: [problem.message]} if problem else {}


def check_secret(action_type: str, text: str) -> str:
    """An action's secret as it is stored, encrypted. Raises InvalidInput."""
    try:
        return registry.get(action_type).check_secret(text)
    except UnknownActionType:  # which is said elsewhere
        return text


def check_kinds(row: Workflow | WorkflowAction, names: Iterable[str]) -> Problems:
    """Which of these fields hold what is not of their kind, and yet passes Django's own cleaning: it takes null for
    blank, makes text of everything, and cuts a fraction off."""
    problems: Problems = {}
    for name in names:
        value, field = getattr(row, name), row._meta.get_field(name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is None:
            problems[name] = ["This field cannot be null."]
        elif isinstance(field, (CharField, TextField)) and not isinstance(value, str) and not is_number:
            problems[name] = [f"Expected text, found {preview(value)}."]
        elif isinstance(field, IntegerField) and not isinstance(value, str) and not (is_number and value % 1 == 0):
            problems[name] = [f"Expected a whole number, found {preview(value)}."]
    return problems


def check_choices(row: Workflow | WorkflowAction, names: Iterable[str]) -> Problems:
    """Which of these fields hold none of their words, with the words that there are, which Django's cleaning hides."""
    problems: Problems = {}
    for name in names:
        value, field = getattr(row, name), row._meta.get_field(name)
        words = [str(word) for word, _ in getattr(field, "flatchoices", ())]
        if words and isinstance(value, str) and value and value not in words:
            problems[name] = [none_of(value, words)]
    return problems


def check_name(organizer_id: int, name: str, workflow: Workflow | None = None) -> Problems:
    """Whether it is a name, and no other workflow of this organizer has it."""
    if not name.strip():
        return {"name": ["A name is more than blanks."]}
    others = Workflow.objects.filter(organizer_id=organizer_id, name=name)
    if workflow is not None:
        others = others.exclude(pk=workflow.pk)
    return {"name": [f"Another workflow of yours is named {name!r}."]} if others.exists() else {}


def template_fields() -> dict[str, list[str]]:
    """By action type, the names of its fields whose texts are templates."""
    return {kind.name: [item.name for item in kind.fields if item.kind in TEMPLATE_KINDS] for kind in registry.types()}
