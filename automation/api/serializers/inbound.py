"""Inbound sources and the events that came from them."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from automation import secrets
from automation.api.serializers.fields import ChoiceField, EventTypeField, ObjectField
from automation.models import InboundEvent, InboundSource, SourceKind


class SourceSerializer(serializers.ModelSerializer[InboundSource]):
    """A sender of events. Its secret is shown once, when it is made or rotated; after that only `secret_hint`."""

    kind = ChoiceField(choices=SourceKind.choices)
    secret = serializers.CharField(
        write_only=True,
        required=False,
        max_length=500,
        help_text="The sender's signing secret, where the sender makes it; else one is made. Stored encrypted.",
    )
    secret_hint = serializers.SerializerMethodField(help_text="The secret, masked.")
    url = serializers.SerializerMethodField(help_text="Where the sender posts to.")
    event_types = ObjectField(
        required=False, help_text="The sender's id, URI or slug of an event type → the id of one of yours."
    )
    default_event_type = EventTypeField(required=False, allow_null=True)

    class Meta:
        model = InboundSource
        fields: tuple[str, ...] = (
            *("id", "organizer", "name", "kind", "url", "secret", "secret_hint", "former_secret_until"),
            *("event_types", "default_event_type", "is_active"),
            *("received", "refused", "last_received_at", "last_refused_at", "created_at"),
        )
        read_only_fields = (
            *("id", "organizer", "former_secret_until", "received", "refused"),
            *("last_received_at", "last_refused_at", "created_at"),
        )

    def get_secret_hint(self, source: InboundSource) -> str:
        try:
            return secrets.mask(secrets.decrypt(source.secret_encrypted))
        except secrets.CannotDecrypt:
            return "cannot be decrypted: rotate it"

    def get_url(self, source: InboundSource) -> str:
        return f"{settings.PUBLIC_URL}{reverse('api:inbound', kwargs={'source': source.pk})}"


class NewSecretSerializer(SourceSerializer):
    """The answer that shows a secret, once."""

    secret = serializers.SerializerMethodField(help_text="Keep it: it is not shown again.")  # type: ignore[assignment]

    def get_secret(self, source: InboundSource) -> str:
        shown: str = self.context["secret"]
        return shown


class RotateSerializer(serializers.Serializer[Any]):
    """Another secret; the former one holds for a while, so that no event is refused meanwhile."""

    secret = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)
    overlap_minutes = serializers.IntegerField(required=False, min_value=0, max_value=7 * 24 * 60, default=24 * 60)


class EventSerializer(serializers.ModelSerializer[InboundEvent]):
    """An event that another scheduler has sent, and what became of it."""

    source_name = serializers.CharField(source="source.name", read_only=True)

    class Meta:
        model = InboundEvent
        fields: tuple[str, ...] = (
            *("id", "source", "source_name", "type", "external_id", "status", "note", "booking"),
            *("occurred_at", "received_at", "processed_at", "deliveries", "attempts"),
        )
        read_only_fields: tuple[str, ...] = fields


class EventDetailSerializer(EventSerializer):
    """With its body."""

    payload = serializers.SerializerMethodField(help_text="The body as it came; what looks like a secret is masked.")

    class Meta(EventSerializer.Meta):
        fields = (*EventSerializer.Meta.fields, "body_hash", "payload")
        read_only_fields = fields

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_payload(self, event: InboundEvent) -> Any:
        return secrets.masked(json.loads(event.payload))


class ReceivedSerializer(serializers.Serializer[Any]):
    """What became of a request: `processed` with a 200, everything else with a 202."""

    id = serializers.UUIDField()
    status = serializers.CharField()
    note = serializers.CharField()
    booking = serializers.UUIDField(allow_null=True)
