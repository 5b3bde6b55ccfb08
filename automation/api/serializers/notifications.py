"""Messages to people, what became of them, and what their recipients want."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from automation.api.serializers.fields import ChoiceField, TimeOfDayField
from automation.models import (
    Channel,
    NotificationEvent,
    NotificationLog,
    NotificationPreference,
    NotificationStatus,
    Suppression,
)
from automation.services import notifications, preferences


class NotificationSerializer(serializers.ModelSerializer[NotificationLog]):
    """A message as lists show it."""

    class Meta:
        model = NotificationLog
        fields: tuple[str, ...] = (
            "id",
            "channel",
            "recipient",
            "subject",
            "status",
            "error",
            "attempts",
            "provider_id",
            "workflow",
            "booking",
            "execution",
            "step_seq",
            "created_at",
            "deferred_until",
            "sent_at",
            "delivered_at",
            "opened_at",
            "clicked_at",
        )
        read_only_fields: tuple[str, ...] = fields


class NotificationEventSerializer(serializers.ModelSerializer[NotificationEvent]):
    class Meta:
        model = NotificationEvent
        fields = ("kind", "source", "detail", "occurred_at", "received_at")
        read_only_fields = fields


class NotificationDetailSerializer(NotificationSerializer):
    """A message with its text and all that was told of it."""

    body = serializers.CharField(source="shown_body", read_only=True, help_text="Of a call: its JSON, secrets masked.")
    events = NotificationEventSerializer(many=True, read_only=True)

    class Meta(NotificationSerializer.Meta):
        fields = (*NotificationSerializer.Meta.fields, "body", "events")
        read_only_fields = fields


class MessageTotalSerializer(serializers.Serializer[Any]):
    day = serializers.DateField(help_text="In UTC, when the message was made.")
    channel = serializers.ChoiceField(choices=Channel.choices)
    status = serializers.ChoiceField(choices=NotificationStatus.choices, help_text="What it has come to.")
    count = serializers.IntegerField()


class MessageTotalsSerializer(serializers.Serializer[Any]):
    since = serializers.DateField()
    until = serializers.DateField()
    totals = MessageTotalSerializer(many=True)


class MessageTotalsQuerySerializer(serializers.Serializer[Any]):
    days = serializers.IntegerField(min_value=1, max_value=notifications.MAX_DAYS, default=notifications.DAYS)


class PreferenceSerializer(serializers.ModelSerializer[NotificationPreference]):
    """What a recipient wants: a `recipient` suffices."""

    recipient = serializers.CharField(
        max_length=320, help_text="An email address, or a phone number with its country code; stays as it is."
    )
    quiet_from = TimeOfDayField(
        required=False, allow_null=True, help_text="On the clock of the recipient's own time zone."
    )
    quiet_until = TimeOfDayField(required=False, allow_null=True)
    daily_limit = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=10_000, help_text="What goes beyond it is kept back."
    )
    unsubscribed = serializers.BooleanField(required=False, help_text="Whether nothing more is sent.")

    class Meta:
        model = NotificationPreference
        fields = (
            "id",
            "recipient",
            "timezone",
            "quiet_from",
            "quiet_until",
            "daily_limit",
            "unsubscribed",
            "unsubscribed_at",
            "unsubscribed_by",
        )
        read_only_fields = ("id", "unsubscribed_at", "unsubscribed_by")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Quiet hours have a beginning and an end, or neither."""
        begin, end = (attrs.get(name, getattr(self.instance, name, None)) for name in ("quiet_from", "quiet_until"))
        if (begin is None) is not (end is None):
            missing = "quiet_from" if begin is None else "quiet_until"
            raise serializers.ValidationError({missing: "Quiet hours need both a beginning and an end."})
        if begin is not None and begin == end:
            raise serializers.ValidationError({"quiet_until": "Quiet hours that end when they begin are none."})
        if self.instance is not None:
            named = attrs.pop("recipient", self.instance.recipient)
            if preferences.address(named) != self.instance.recipient:
                problem = f"These preferences are {self.instance.recipient}'s and stay so; make others for {named}."
                raise serializers.ValidationError({"recipient": problem})
        return attrs

    def to_representation(self, instance: NotificationPreference) -> dict[str, Any]:
        instance.unsubscribed = instance.unsubscribed_at is not None  # type: ignore[attr-defined]
        return super().to_representation(instance)


class SuppressionSerializer(serializers.ModelSerializer[Suppression]):
    """An address that gets nothing more; `channel` and `recipient` suffice."""

    serializer_choice_field = ChoiceField
    recipient = serializers.CharField(max_length=320)
    detail = serializers.CharField(required=False, allow_blank=True, max_length=2000)

    class Meta:
        model = Suppression
        fields = ("id", "channel", "recipient", "reason", "detail", "notification", "created_at", "lifted_at")
        read_only_fields = ("id", "reason", "notification", "created_at", "lifted_at")
