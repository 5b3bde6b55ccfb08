"""Exporting workflows as documents, and importing them: whole files or nothing."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from automation.errors import InvalidInput
from automation.models import User, Workflow
from automation.services import documents, workflows
from automation.services.documents import Document


class Mode(enum.StrEnum):
    """What an import does with a workflow whose name the organizer has already."""

    CREATE = "create"  # refuse the whole import
    UPDATE = "update"  # make that workflow what the document says
    SKIP = "skip"  # leave it as it is
    COPY = "copy"  # make a new one, under a name that is free


@dataclass(frozen=True)
class Imported:
    """What became of one document. `changes`: field → [before, after], for an update."""

    name: str
    action: str  # created, updated, unchanged, skipped
    workflow_id: UUID | None
    changes: dict[str, list[Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class _Undone(Exception):
    """A dry run's transaction is rolled back."""


def import_documents(
    organizer: User,
    found: Sequence[Document],
    *,
    mode: Mode = Mode.CREATE,
    dry_run: bool = False,
    active: bool | None = None,
    by: User | None = None,
) -> list[Imported]:
    """Import all or nothing, in one transaction; a dry run says what would happen.

    active: overrides what the documents say. Raises InvalidInput with the problems by path,
    `workflows[2].actions[0].subject`.
    """
    results: list[Imported] = []
    problems: dict[str, list[str]] = {}
    try:
        with transaction.atomic():
            for number, document in enumerate(found):
                given = document if active is None else {**document, "is_active": active}
                try:
                    with transaction.atomic():
                        results.append(_import(organizer, given, mode, by))
                except InvalidInput as error:
                    place = f"workflows[{number}]"
                    problems |= {f"{place}.{name}": texts for name, texts in error.fields.items()} or {
                        place: [error.message]
                    }
            if problems:
                raise InvalidInput("Nothing was imported: the document has problems.", problems)
            if dry_run:
                raise _Undone
    except _Undone:
        pass
    return results


def _import(organizer: User, document: Document, mode: Mode, by: User | None) -> Imported:
    name = document["name"]
    own = Workflow.objects.filter(organizer=organizer)
    known = own.filter(name=name).first()
    if known is not None and mode is Mode.SKIP:
        return Imported(name, "skipped", known.pk)
    if known is not None and mode is Mode.CREATE:
        raise InvalidInput(
            f"You have a workflow {name!r} already.",
            {"name": [f"A workflow {name!r} is there already; import with mode 'update', 'skip' or 'copy'."]},
        )
    fields = documents.fields_of(document, organizer)
    if known is None or mode is Mode.COPY:
        fields["name"] = free_name(organizer, name)
        created = workflows.create(organizer, by=by, **fields)
        return Imported(created.name, "created", created.pk, warnings=_warnings(document, set()))
    (before,) = documents.of([known])
    signed = {action.name for action in known.actions.exclude(webhook_secret_encrypted="")}
    warnings = _warnings(document, signed)
    changes = {key: pair for key, pair in difference(before, document).items() if not _only_secret(pair)}
    if not changes:
        return Imported(name, "unchanged", known.pk, warnings=warnings)
    _keep_ids(known, fields["actions"])
    workflows.update(known, by=by, **fields)
    return Imported(name, "updated", known.pk, changes, warnings)


def free_name(organizer: User, name: str) -> str:
    """`name`, or `name (2)`, …: the first that no workflow of the organizer has."""
    taken = set(
        Workflow.objects.filter(organizer=organizer, name__startswith=name[:180]).values_list("name", flat=True)
    )
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name[:190]} ({number})"
    return candidate


def difference(before: Document, after: Document) -> dict[str, list[Any]]:
    """Field → [before, after], of the fields that differ; None where one says nothing."""
    keys = [key for key in documents.WORKFLOW_KEYS if before.get(key) != after.get(key)]
    return {key: [before.get(key), after.get(key)] for key in keys}


def _keep_ids(workflow: Workflow, actions: Sequence[dict[str, Any]]) -> None:
    """An action of the same name stays the same action, with its secret and its statistics."""
    own: dict[str, list[UUID]] = {}
    for id_, name in workflow.actions.order_by("order", "pk").values_list("pk", "name"):
        own.setdefault(name, []).append(id_)
    for action in actions:
        if ids := own.get(action.get("name", "")):
            action["id"] = ids.pop(0)


def _warnings(document: Document, signed: set[str]) -> tuple[str, ...]:
    missing = [
        action.get("name") or action.get("action_type", "")
        for action in document.get("actions", [])
        if action.get(documents.SIGNED) and action.get("name") not in signed
    ]
    return tuple(f"Action {name!r} was signed with a secret, which no document holds: set it anew." for name in missing)


def _only_secret(pair: list[Any]) -> bool:
    """Whether two lists of actions differ in nothing but whether a secret is set."""
    if not all(isinstance(side, list) and all(isinstance(one, dict) for one in side) for side in pair):
        return False
    without = [[{k: v for k, v in one.items() if k != documents.SIGNED} for one in side] for side in pair]
    return bool(without[0] == without[1])
