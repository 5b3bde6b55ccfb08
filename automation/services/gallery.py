"""Workflow templates: those that come with Weir, those that organizers save, and workflows made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet

from automation import gallery
from automation.errors import InvalidInput
from automation.models import Booking, TemplateCategory, User, Workflow, WorkflowTemplate
from automation.services import documents, portability, workflows
from automation.services.documents import Document

_ADDRESSES = ("webhook_url", "custom_email", "custom_phone")
_EXAMPLE_HOSTS = ("//example.com", "//example.org", "@example.com")


@dataclass(frozen=True)
class Prerequisite:
    """Something that a workflow made from a template needs to do its work. `met`: None where only a person knows."""

    code: str
    message: str
    met: bool | None


@dataclass(frozen=True)
class Synced:
    """What `sync` did with one shipped template: created, updated, unchanged or removed."""

    key: str
    action: str


def visible_to(user: User) -> QuerySet[WorkflowTemplate]:
    """Public templates, and the user's own; staff see all."""
    rows = WorkflowTemplate.objects.all()
    return rows if user.is_staff else rows.filter(Q(is_public=True) | Q(organizer=user))


def sync(*, dry_run: bool = False) -> list[Synced]:
    """Make the shipped templates' rows what their files say; how often each was used is kept."""
    rows = {row.key: row for row in WorkflowTemplate.objects.filter(key__isnull=False)}
    done = []
    with transaction.atomic():
        for shipped in gallery.shipped():
            fields: dict[str, Any] = {
                "name": shipped.name,
                "description": shipped.description,
                "category": shipped.category,
                "template_data": shipped.document,
                "is_public": True,
            }
            row = rows.pop(shipped.key, None)
            differs = row is not None and any(getattr(row, name) != value for name, value in fields.items())
            action = "created" if row is None else "updated" if differs else "unchanged"
            if action != "unchanged" and not dry_run:
                WorkflowTemplate.objects.update_or_create(key=shipped.key, defaults=fields)
            done.append(Synced(shipped.key, action))
        for key, row in rows.items():
            if not dry_run:
                row.delete()
            done.append(Synced(str(key), "removed"))
    return done


def save(
    workflow: Workflow,
    *,
    name: str = "",
    description: str = "",
    category: str = TemplateCategory.BOOKING,
    is_public: bool = False,
    by: User,
) -> WorkflowTemplate:
    """A workflow as a template of its organizer's. Only staff make public ones. Raises InvalidInput."""
    if is_public and not by.is_staff:
        raise InvalidInput("Only staff publish templates.", {"is_public": ["Only staff publish templates for all."]})
    (document,) = documents.of([workflow])
    for own in ("event_types", "is_active"):
        document.pop(own, None)
    row = WorkflowTemplate(
        organizer=workflow.organizer,
        name=name or workflow.name,
        description=description or workflow.description,
        category=category,
        template_data=document,
        is_public=is_public,
    )
    if WorkflowTemplate.objects.filter(organizer=row.organizer, name=row.name).exists():
        raise InvalidInput(
            "The name is taken.", {"name": [f"You have a template {row.name!r} already; choose another name."]}
        )
    row.save()
    return row


def create_from(
    template: WorkflowTemplate, organizer: User, customizations: Mapping[str, Any] | None = None, *, by: User
) -> Workflow:
    """A workflow made from a template, switched off unless `is_active` is asked for.

    customizations: fields of the workflow, as in a document; `customize_actions`: {an action's name or its number from
    0: {field: value, …}, or null to leave the action out}. Raises InvalidInput with the problems by path.
    """
    document = customized(template.template_data, customizations or {})
    named = "name" in (customizations or {})
    with transaction.atomic():
        fields = documents.fields_of(document, organizer)
        if not named:
            fields["name"] = portability.free_name(organizer, document["name"])
        workflow = workflows.create(organizer, by=by, **fields)
        WorkflowTemplate.objects.filter(pk=template.pk).update(usage_count=F("usage_count") + 1)
    return workflow


def customized(document: Document, customizations: Mapping[str, Any]) -> Document:
    """The document with the customizations laid over it. Raises InvalidInput for what does not fit, and for a template
    that is none (its row was edited by hand)."""
    broken = documents.shape_problems(document) if isinstance(document, dict) else {"template_data": ["No mapping."]}
    if broken:
        raise InvalidInput("The template itself cannot be read; staff can mend it in the admin.", broken)
    given = dict(customizations)
    actions = given.pop("customize_actions", {})
    allowed = [key for key in documents.WORKFLOW_KEYS if key != "actions"]
    if unknown := sorted(set(given) - set(allowed)):
        texts = {
            name: [f"No such customization; there are {', '.join(allowed)}, customize_actions."] for name in unknown
        }
        raise InvalidInput("The customizations have unknown fields.", texts)
    result = {**document, "is_active": False, **given}
    result["actions"] = _customized_actions(document.get("actions", []), actions)
    if problems := documents.shape_problems(result):
        raise InvalidInput("The customizations do not fit.", problems)
    return result


def _customized_actions(actions: Sequence[Document], customize: Any) -> list[Document]:
    if not isinstance(customize, Mapping):
        raise InvalidInput(
            "customize_actions is no mapping.", {"customize_actions": ["Expected {action's name: {field: value}}."]}
        )
    result: list[Document | None] = [dict(action) for action in actions]
    names = [action.get("name", "") for action in actions]
    problems: dict[str, list[str]] = {}
    for key, changes in customize.items():
        place = f"customize_actions.{key}"
        index = names.index(key) if key in names else int(key) if _is_number(key) else -1
        if not 0 <= index < len(result):
            problems[place] = [f"No such action; there are {', '.join(map(repr, names))}, or numbers from 0."]
        elif changes is None:
            result[index] = None
        elif not isinstance(changes, Mapping):
            problems[place] = ["Expected a mapping of fields to values, or null to leave the action out."]
        elif unknown := sorted(set(changes) - set(documents.ACTION_KEYS)):
            problems[place] = [f"No such field {unknown[0]!r}; there are {', '.join(documents.ACTION_KEYS)}."]
        else:
            result[index] = {**actions[index], **changes}
    if problems:
        raise InvalidInput("The actions cannot be customized like this.", problems)
    return [action for action in result if action is not None]


def _is_number(key: object) -> bool:
    return isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 5  # "²" is a digit, too


def prerequisites(template: WorkflowTemplate, user: User) -> list[Prerequisite]:
    """What a workflow from this template needs: from the organizer, from the invitees, from other systems."""
    found = []
    actions = template.template_data.get("actions", []) if isinstance(template.template_data, dict) else []
    if any(action.get("action_type") == "send_sms" for action in actions):
        with_phone = Booking.objects.filter(organizer=user).exclude(invitee_phone="").exists()
        found.append(Prerequisite("phone", "Invitees leave a phone number when they book.", with_phone))
        if any(action.get("recipient") in ("organizer", "both") for action in actions):
            found.append(Prerequisite("own_phone", "Your own phone number is in your profile.", bool(user.phone)))
    for action in actions:
        for name in _ADDRESSES:
            if any(host in str(action.get(name, "")) for host in _EXAMPLE_HOSTS):
                title = action.get("name", "")
                message = f"The action {title!r} has an example in {name}: put the real one there."
                found.append(Prerequisite(f"{name}:{title}", message, False))
    if any("meeting_link" in str(action.get("message", "")) for action in actions):
        found.append(
            Prerequisite("meeting_link", "Bookings have a meeting link; without one its lines stay empty.", None)
        )
    return found
