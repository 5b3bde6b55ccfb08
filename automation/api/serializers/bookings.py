"""Bookings: meetings between an organizer and an invitee."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rest_framework import serializers

from automation.api.serializers.fields import EventTypeField, ObjectField
from automation.models import Booking
from automation.models.validators import validate_timezone

EARLIEST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)

_ELSEWHERE = {
    "event_type": "The event type of a booking cannot be changed; cancel it and make another.",
    "start_time": "Cannot be changed here; POST it to reschedule/.",
    "end_time": "Cannot be changed here; POST it to reschedule/.",
    "status": "Cannot be changed here; POST to cancel/, complete/ or no-show/.",
    "cancellation_reason": "Cannot be changed here; POST it to cancel/ as 'reason'.",
}


class MomentField(serializers.DateTimeField):
    """A moment in ISO 8601 from 2000 to 2200; without an offset it is UTC."""

    def to_internal_value(self, value: Any) -> dt.datetime:
        moment: dt.datetime = super().to_internal_value(value)
        if not EARLIEST <= moment < LATEST:
            raise serializers.ValidationError(f"{value} is out of range: expected a year from 2000 to 2199.")
        return moment


class BookingSerializer(serializers.ModelSerializer[Booking]):
    """A booking; event_type, invitee_name, invitee_email and start_time suffice to make one."""

    event_type = EventTypeField()
    event_type_name = serializers.CharField(source="event_type.name", read_only=True)
    start_time = MomentField()
    end_time = MomentField(required=False, help_text="From the event type's duration where none is given.")
    invitee_timezone = serializers.CharField(max_length=64, required=False, validators=[validate_timezone])
    attendee_count = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)
    custom_answers = ObjectField(required=False)

    class Meta:
        model = Booking
        fields = (
            "id",
            "organizer",
            "event_type",
            "event_type_name",
            "invitee_name",
            "invitee_email",
            "invitee_phone",
            "invitee_timezone",
            "start_time",
            "end_time",
            "status",
            "attendee_count",
            "custom_answers",
            "meeting_link",
            "meeting_id",
            "meeting_password",
            "cancellation_reason",
            "cancelled_by",
            "rescheduled_from",
            "sequence",
            "created_at",
            "updated_at",
        )
        read_only_fields: tuple[str, ...] = (
            "id",
            "organizer",
            "status",
            "cancellation_reason",
            "cancelled_by",
            "rescheduled_from",
            "sequence",
            "created_at",
            "updated_at",
        )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        _check_order(attrs)
        return attrs


class BookingChangeSerializer(BookingSerializer):
    """The fields of a booking that can be edited: those that move no message in time."""

    class Meta(BookingSerializer.Meta):
        read_only_fields = (*BookingSerializer.Meta.read_only_fields, "event_type", "start_time", "end_time")

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (refused := {name: [text] for name, text in _ELSEWHERE.items() if name in data}):
            raise serializers.ValidationError(refused)
        return super().to_internal_value(data)


class RescheduleSerializer(serializers.Serializer[Any]):
    """The new time; the end keeps the booking's duration where none is given."""

    start_time = MomentField()
    end_time = MomentField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        _check_order(attrs)
        return attrs


class CancelSerializer(serializers.Serializer[Any]):
    """Why the meeting does not take place."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=5000, default="")


def _check_order(attrs: dict[str, Any]) -> None:
    if "end_time" in attrs and "start_time" in attrs and attrs["end_time"] <= attrs["start_time"]:
        raise serializers.ValidationError({"end_time": "The end must lie after the start."})
