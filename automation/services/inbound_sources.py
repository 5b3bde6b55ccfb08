"""Where events come from: the senders' rows, and their secrets."""

from __future__ import annotations

import datetime as dt
import secrets as random
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from automation import audit, clock, secrets
from automation.errors import InvalidInput, NotFound
from automation.models import EventType, InboundSource, SourceKind, User
from automation.providers.schedulers import SCHEDULERS

OVERLAP = dt.timedelta(days=1)
"""How long a secret still holds after it has been rotated."""
MIN_SECRET, MAX_SECRET = 8, 500
MAX_MAPPING = 500
EDITABLE = ("name", "event_types", "default_event_type", "is_active")
_ELSEWHERE = {
    "kind": "It stays what it was made as: make another source.",
    "secret": "POST it to rotate/, so that the former one holds for a while.",
}


def create(
    organizer: User, *, name: str, kind: str, secret: str = "", by: User | None = None, **fields: Any
) -> tuple[InboundSource, str]:
    """A new source and its secret in plain text, which nothing shows again. Without a secret one is made.

    fields: `event_types` (the sender's name of an event type → the id of one of the organizer's), `default_event_type`,
    `is_active`. Raises InvalidInput with the problems by field.
    """
    source = InboundSource(organizer=organizer, kind=kind)
    if kind not in SCHEDULERS:
        problem = f"Expected one of {', '.join(SCHEDULERS)}."
        raise InvalidInput(f"There is no kind of source {kind!r}.", {"kind": [problem]})
    _assign(source, {"name": name, **fields})
    plain = _checked_secret(kind, secret)
    source.secret_encrypted = secrets.encrypt(plain)
    with transaction.atomic():
        source.save()
        _record(source, by, None, _facts(source))
    return source, plain


def update(source: InboundSource, *, by: User | None = None, **changes: Any) -> InboundSource:
    """Change some of `EDITABLE`. Raises InvalidInput with the problems by field."""
    with transaction.atomic():
        row = _locked(source)
        before = _facts(row)
        _assign(row, changes)
        row.save(update_fields=[*changes])
        _record(row, by, before, _facts(row))
    return row


def rotate(source: InboundSource, secret: str = "", *, overlap: dt.timedelta = OVERLAP, by: User | None = None) -> str:
    """Give the source another secret, and return it; the former one holds for `overlap` more. Raises InvalidInput."""
    plain = _checked_secret(source.kind, secret)
    with transaction.atomic():
        row = _locked(source)
        before = _facts(row)
        row.former_secret_encrypted = row.secret_encrypted if overlap > dt.timedelta(0) else ""
        row.former_secret_until = clock.now() + overlap if overlap > dt.timedelta(0) else None
        row.secret_encrypted = secrets.encrypt(plain)
        row.save(update_fields=["secret_encrypted", "former_secret_encrypted", "former_secret_until"])
        _record(row, by, before, _facts(row))
    return plain


def delete(source: InboundSource, *, by: User | None = None) -> None:
    """Delete the source with its events; the bookings that they made stay."""
    with transaction.atomic():
        row = _locked(source)
        _record(row, by, _facts(row), None)
        row.delete()


def secrets_of(source: InboundSource, now: dt.datetime) -> list[str]:
    """Those that hold now. Raises CannotDecrypt."""
    found = [secrets.decrypt(source.secret_encrypted)]
    if source.former_secret_encrypted and source.former_secret_until is not None and source.former_secret_until > now:
        found.append(secrets.decrypt(source.former_secret_encrypted))
    return found


def event_type_of(source: InboundSource, names: tuple[str, ...]) -> EventType | None:
    """Ours for one of the sender's names of an event type: by the mapping, by slug or id, else the default."""
    own = EventType.objects.filter(organizer_id=source.organizer_id)
    for name in names:
        if mapped := source.event_types.get(name):
            return own.filter(pk=mapped).first()
    for name in names:
        id_ = _uuid(name)
        found = own.filter(pk=id_).first() if id_ is not None else own.filter(slug=name).first()
        if found is not None:
            return found
    return source.default_event_type


def _locked(source: InboundSource) -> InboundSource:
    """The row as it is now: what somebody else has changed since it was read stays. Raises NotFound."""
    row = InboundSource.objects.select_for_update(of=("self",)).filter(pk=source.pk).first()
    if row is None:
        raise NotFound(f"There is no source {source.pk} any more.")
    return row


def _facts(source: InboundSource) -> dict[str, Any]:
    """What people set, for the audit log, which masks the secret."""
    until = source.former_secret_until
    return {
        "name": source.name,
        "kind": source.kind,
        "secret": source.secret_encrypted,
        "former_valid_until": until.isoformat() if until else None,
        "event_types": source.event_types,
        "default_event_type_id": str(source.default_event_type_id) if source.default_event_type_id else None,
        "is_active": source.is_active,
    }


def _record(
    source: InboundSource, by: User | None, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    audit.record(
        "inbound_source",
        source.pk,
        organizer_id=source.organizer_id,
        actor=by,
        name=source.name,
        before=before,
        after=after,
    )


def _assign(source: InboundSource, fields: Mapping[str, Any]) -> None:
    problems: dict[str, list[str]] = {
        name: [_ELSEWHERE.get(name, f"Cannot be set; what can is {', '.join(EDITABLE)}.")]
        for name in fields
        if name not in EDITABLE
    }
    for name in set(fields) & set(EDITABLE):
        setattr(source, name, fields[name])
    if "event_types" in fields:  # one that was deleted since it was named need not be mended before all else
        problems |= _mapping_problems(source)
    default = source.default_event_type
    if default is not None and default.organizer_id != source.organizer_id:
        problems["default_event_type"] = [f"{default.pk} is no event type of this organizer."]
    try:
        source.clean_fields(exclude=["organizer", "kind", "secret_encrypted", "former_secret_encrypted", "event_types"])
    except ValidationError as error:
        problems |= error.message_dict
    if problems:
        raise InvalidInput("The source cannot be saved as it is.", problems)


def _mapping_problems(source: InboundSource) -> dict[str, list[str]]:
    wanted = source.event_types
    if not isinstance(wanted, dict) or len(wanted) > MAX_MAPPING:
        return {"event_types": [f"Expected an object of at most {MAX_MAPPING} entries: a name → an event type's id."]}
    ids = {name: _uuid(value) for name, value in wanted.items()}
    own = EventType.objects.filter(organizer_id=source.organizer_id, pk__in=[id_ for id_ in ids.values() if id_])
    known = set(own.values_list("pk", flat=True))
    problems = {
        f"event_types.{name}": [f"{wanted[name]!r} is no event type of this organizer."]
        for name, id_ in ids.items()
        if id_ not in known
    }
    if not problems:
        source.event_types = {name: str(id_) for name, id_ in ids.items()}
    return problems


def _checked_secret(kind: str, secret: str) -> str:
    if not secret:
        return secrets.new_webhook_secret() if kind == SourceKind.STANDARD else random.token_urlsafe(32)
    if not MIN_SECRET <= len(secret) <= MAX_SECRET:
        problem = f"A secret has {MIN_SECRET} to {MAX_SECRET} characters."
        raise InvalidInput(problem, {"secret": [problem]})
    try:
        return SCHEDULERS[kind].check_secret(secret)
    except InvalidInput as error:
        raise InvalidInput(error.message, {"secret": [error.message]}) from None


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
