"""Every stored secret under the newest key: what `manage.py rotate_secrets` does.

A column whose name ends in `_encrypted` holds one, in whichever app; so does a key of that name inside a version's
snapshot or a draft. A workflow's actions, versions and draft are rotated in one transaction, and what was the same text
stays the same text: an action and the version made from it still agree, so that no version is made for a rotation.

What is under the newest key already is left alone, so a run that was interrupted is simply repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import Q, QuerySet

from automation import secrets
from automation.models import Workflow, WorkflowAction, WorkflowDraft, WorkflowVersion

SUFFIX = "_encrypted"
BATCH = 200


@dataclass
class Rotation:
    """What was found. `broken` names the places whose secret no key opens."""

    rotated: int = 0
    current: int = 0
    broken: list[str] = field(default_factory=list)

    def renewed(self, text: str, place: str, memo: dict[str, str] | None = None) -> str:
        """The secret under the newest key; `text` itself where it is, or where it cannot be read."""
        if not text:
            return text
        if secrets.is_current(text):
            self.current += 1
            return text
        try:
            new = memo[text] if memo is not None and text in memo else secrets.rotate(text)
        except secrets.CannotDecrypt:
            self.broken.append(place)
            return text
        if memo is not None:
            memo[text] = new
        self.rotated += 1
        return new


def rotate_all(
    *, dry_run: bool = False, batch: int = BATCH, progress: Callable[[str], None] = lambda text: None
) -> Rotation:
    """Rotate everything, a batch at a time; `dry_run` counts and changes nothing."""
    total = Rotation()
    for model, names in columns():
        _rotate_columns(model, names, total, dry_run, batch)
        progress(f"{model._meta.label}: {', '.join(names)}")
    _rotate_workflows(total, dry_run, batch)
    progress("workflows: actions, versions, drafts")
    return total


def columns() -> list[tuple[type[models.Model], list[str]]]:
    """The models with encrypted columns, but for actions, which are rotated with their workflows."""
    found = []
    for model in apps.get_models():
        names = [one.attname for one in model._meta.concrete_fields if one.attname.endswith(SUFFIX)]
        if names and model is not WorkflowAction:
            found.append((model, names))
    return found


def _rotate_columns(model: type[models.Model], names: list[str], total: Rotation, dry_run: bool, batch: int) -> None:
    filled = Q()
    for name in names:
        filled |= ~Q(**{name: ""})
    rows: QuerySet[Any] = QuerySet(model).filter(filled)
    for row in _batches(rows, batch):
        for name in names:
            old = getattr(row, name)
            new = total.renewed(old, f"{model._meta.label} {row.pk}: {name}")
            if new != old and not dry_run:
                # Only if it is still what was read: whoever has changed it meanwhile has used the newest key.
                QuerySet(model).filter(pk=row.pk, **{name: old}).update(**{name: new})


def _rotate_workflows(total: Rotation, dry_run: bool, batch: int) -> None:
    for workflow in _batches(QuerySet(Workflow).only("pk"), batch):
        with transaction.atomic():
            # Edits and publishing take this lock, too: nobody makes a version of half of it.
            if Workflow.objects.select_for_update().filter(pk=workflow.pk).first() is None:
                continue
            memo: dict[str, str] = {}
            for action in WorkflowAction.objects.filter(workflow=workflow).exclude(webhook_secret_encrypted=""):
                old = action.webhook_secret_encrypted
                new = total.renewed(old, f"action {action.pk}", memo)
                if new != old and not dry_run:
                    # Past the manager: a rotation is no edit, and has nothing planned anew.
                    QuerySet(WorkflowAction).filter(pk=action.pk).update(webhook_secret_encrypted=new)
            documents: tuple[tuple[type[models.Model], str], ...] = (
                (WorkflowVersion, "snapshot"),
                (WorkflowDraft, "content"),
            )
            for model, name in documents:
                rows: QuerySet[Any] = QuerySet(model).filter(workflow=workflow)
                for row in rows:
                    document = getattr(row, name)
                    changed = _renewed(document, total, f"{model._meta.label} {row.pk}", memo)
                    if changed != document and not dry_run:
                        QuerySet(model).filter(pk=row.pk).update(**{name: changed})


def _renewed(value: Any, total: Rotation, place: str, memo: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: total.renewed(item, f"{place}: {key}", memo)
            if isinstance(item, str) and str(key).endswith(SUFFIX)
            else _renewed(item, total, f"{place}: {key}", memo)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_renewed(item, total, place, memo) for item in value]
    return value


def _batches(rows: QuerySet[Any], size: int) -> Iterator[Any]:
    """All rows in the order of their keys, so many at a time; those that come meanwhile are under the newest key."""
    last: Any = None
    while True:
        page = rows.order_by("pk") if last is None else rows.filter(pk__gt=last).order_by("pk")
        found = list(page[:size])
        yield from found
        if len(found) < size:
            return
        last = found[-1].pk
