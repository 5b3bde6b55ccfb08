"""Who changed what: entries with the values before and after, in the transaction of the change."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from automation.models import AuditAction, AuditLog, User

MASK = "••••••"
_SECRETS = ("secret", "password", "token", "api_key", "credential")


def record(
    subject: str,
    subject_id: object,
    *,
    organizer_id: int,
    actor: User | None,
    name: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditLog | None:
    """Write down one change: made (`before` is None), deleted (`after` is None) or changed; None where nothing differs.

    before, after: field → value, as JSON's own types. The values of secrets are masked, at every depth.
    """
    changes = changed(before or {}, after or {})
    if before is not None and after is not None and not changes:
        return None
    action = AuditAction.CREATED if before is None else AuditAction.DELETED if after is None else AuditAction.CHANGED
    return AuditLog.objects.create(
        organizer_id=organizer_id,
        actor=actor,
        action=action,
        subject=subject,
        subject_id=str(subject_id),
        name=name[:255],
        changes=changes,
    )


def record_row(
    row: Any, *, actor: User | None, before: Mapping[str, Any] | None = None, deleted: bool = False
) -> AuditLog | None:
    """The same for a row with an organizer: `before` is what `facts` said of it, and None for one that was made."""
    subject = str(row._meta.verbose_name).replace(" ", "_")
    return record(
        subject,
        row.pk,
        organizer_id=row.organizer_id,
        actor=actor,
        name=str(row),
        before=facts(row) if deleted else before,
        after=None if deleted else facts(row),
    )


def facts(row: Model) -> dict[str, Any]:
    """The row's own fields, but for its id and its times of making and changing, as JSON's own types."""
    left_out = ("id", "created_at", "updated_at")
    return {
        field.attname: _plain(getattr(row, field.attname))
        for field in row._meta.concrete_fields
        if field.attname not in left_out
    }


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Field → [before, after] of what differs; None for what is not there."""
    keys = [*before, *(key for key in after if key not in before)]
    pairs = {key: [before.get(key), after.get(key)] for key in keys if before.get(key) != after.get(key)}
    return {key: [_masked(key, side) for side in pair] for key, pair in pairs.items()}


def _masked(key: str, value: Any) -> Any:
    if any(word in key.lower() for word in _SECRETS) and isinstance(value, str):
        return MASK if value else ""
    if isinstance(value, Mapping):
        return {name: _masked(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked("", inner) for inner in value]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return str(value) if isinstance(value, uuid.UUID) else value
