"""Fields that several serializers share."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, cast

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from automation.models import EventType, User
from automation.rules.problems import nearest, none_of

TIME_OF_DAY = r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$"
NOT_FOUND = "Not found: {id} is no event type of yours."


def owner(field: serializers.Field[Any, Any, Any, Any]) -> User | None:
    """Whose event types the body may name: those of the row that is edited, else the caller's; None = anybody's.

    Staff edit other people's workflows, and must not put their own event types into them.
    """
    root = field.root
    instance = getattr(root, "instance", None)
    if instance is not None and hasattr(instance, "organizer"):
        return cast(User, instance.organizer)
    return cast(User, field.context["request"].user)


class ChoiceField(serializers.ChoiceField):
    """One of some words; whoever names another is told which there are."""

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        if key == "invalid_choice":
            raise serializers.ValidationError(none_of(kwargs["input"], map(str, self.choices)), code=key)
        super().fail(key, **kwargs)


class Strict(serializers.Serializer[Any]):
    """A body that has no other fields: a `delay` that is left out in silence, where `delay_minutes` was meant, sends at
    once. What can only be read may come back as it was read."""

    also_read: ClassVar[frozenset[str]] = frozenset()
    """Fields that other bodies of the same thing show; they are left out."""

    def to_internal_value(self, data: Any) -> Any:
        problems: dict[str, Any] = {}
        if isinstance(data, Mapping):
            known = [*self.fields, *self.also_read]
            given = [name for name, field in self.fields.items() if not field.read_only]
            for name in data:
                if name not in known:
                    meant = nearest(str(name), given)
                    hint = f"Did you mean {meant!r}?" if meant else f"There are {', '.join(given)}."
                    problems[str(name)[:100]] = [f"There is no such field. {hint}"]
        try:
            found = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if problems and isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **problems}) from None
            raise
        if problems:
            raise serializers.ValidationError(problems)
        return found


@extend_schema_field({"type": "string", "pattern": TIME_OF_DAY, "example": "21:00"})
class TimeOfDayField(serializers.TimeField):
    """What a clock on somebody's wall shows, such as 21:00. It has no offset; one that is given would be lost."""

    def to_internal_value(self, value: Any) -> dt.time:
        if isinstance(value, str) and not re.fullmatch(TIME_OF_DAY, value, re.ASCII):
            raise serializers.ValidationError(f"{value[:50]!r} is no time of day: expected hh:mm, without an offset.")
        moment: dt.time = super().to_internal_value(value)
        return moment


@extend_schema_field({"type": "array", "items": {"type": "string", "format": "uuid"}})
class EventTypesField(serializers.ListField):
    """The ids of event types, in and out; read with one query, however many."""

    child = serializers.UUIDField()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 500, **kwargs})

    def to_internal_value(self, data: Any) -> list[EventType]:
        ids = super().to_internal_value(data)
        mine = EventType.objects.filter(organizer=owner(self)).in_bulk(ids)
        problems = {index: [NOT_FOUND.format(id=id)] for index, id in enumerate(ids) if id not in mine}
        if problems:
            raise serializers.ValidationError(problems)  # type: ignore[arg-type]
        return [mine[id] for id in dict.fromkeys(ids)]

    def to_representation(self, value: Any) -> list[str]:
        return [str(event_type.pk) for event_type in value.all()]


@extend_schema_field({"type": "string", "format": "uuid"})
class EventTypeField(serializers.UUIDField):
    """The id of one event type: the caller's own, or, for staff, anybody's."""

    def to_internal_value(self, data: Any) -> EventType:  # type: ignore[override]
        id = super().to_internal_value(data)
        found = EventType.objects.filter(pk=id).select_related("organizer").first()
        user = self.context["request"].user
        if found is None or not (user.is_staff or found.organizer_id == user.pk):
            raise serializers.ValidationError(NOT_FOUND.format(id=id))
        return found

    def to_representation(self, value: EventType) -> str:  # type: ignore[override]
        return str(value.pk)


@extend_schema_field({"type": "object", "additionalProperties": True})
class ObjectField(serializers.JSONField):
    """A JSON object."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError(f"Expected an object, got {_kind(data)}.")
        return cast("dict[str, Any]", super().to_internal_value(data))


@extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
class ConditionsField(serializers.JSONField):
    """Condition groups: `[{"operator": "AND", "rules": [{"field", "operator", "value"}, …]}, …]`."""

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            raise serializers.ValidationError(f"Expected a list of condition groups, got {_kind(data)}.")
        return cast("list[Any]", super().to_internal_value(data))


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
