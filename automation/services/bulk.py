"""One edit of many workflows: each in a transaction of its own, each with its own answer."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from automation.errors import WeirError
from automation.models import User, Workflow
from automation.services import workflows
from automation.services.tags import normal

MAX = 200
"""Workflows in one request."""


class Edit(enum.StrEnum):
    ENABLE = "enable"
    DISABLE = "disable"
    DELETE = "delete"
    TAG = "tag"
    UNTAG = "untag"


@dataclass(frozen=True)
class Result:
    """What became of one: `done`, `unchanged`, or the code of the error, with its message."""

    id: UUID
    result: str
    message: str = ""


def apply(
    edit: Edit, ids: Sequence[UUID], rows: QuerySet[Workflow], *, tags: Sequence[str] = (), by: User
) -> list[Result]:
    """Apply an edit to those of `rows` (the caller's own) that `ids` names, in that order."""
    one = _edits(tags, by)[edit]
    results = []
    for id_ in dict.fromkeys(ids):
        workflow = rows.filter(pk=id_).first()
        if workflow is None:
            results.append(Result(id_, "not_found", f"There is no workflow {id_}, or it belongs to somebody else."))
            continue
        try:
            with transaction.atomic():
                results.append(Result(id_, "done" if one(workflow) else "unchanged"))
        except WeirError as error:
            places = "; ".join(f"{name}: {texts[0]}" for name, texts in error.fields.items())
            results.append(Result(id_, error.code, f"{error.message} {places}".strip()))
    return results


def _edits(tags: Sequence[str], by: User) -> dict[Edit, Callable[[Workflow], bool]]:
    def switch(workflow: Workflow, on: bool) -> bool:
        if workflow.is_active == on:
            return False
        workflows.update(workflow, by=by, is_active=on)
        return True

    def retag(workflow: Workflow, wanted: set[str]) -> bool:
        if wanted == set(workflow.tags):
            return False
        workflows.update(workflow, by=by, tags=sorted(wanted))
        return True

    def delete(workflow: Workflow) -> bool:
        workflows.delete(workflow, by=by)
        return True

    named = set(normal(tags))
    return {
        Edit.ENABLE: lambda workflow: switch(workflow, True),
        Edit.DISABLE: lambda workflow: switch(workflow, False),
        Edit.DELETE: delete,
        Edit.TAG: lambda workflow: retag(workflow, set(workflow.tags) | named),
        Edit.UNTAG: lambda workflow: retag(workflow, set(workflow.tags) - named),
    }
