"""The world outside: destinations with their circuits, calls that wait or have failed, and inbound events."""

from __future__ import annotations

import json
from typing import Any, cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from automation import secrets
from automation.admin.base import BigTable, History, payload
from automation.errors import WeirError
from automation.models import Destination, HeldCall, InboundBooking, InboundEvent, InboundSource, User
from automation.services import destinations, inbound, inbound_sources


@admin.register(Destination)
class DestinationAdmin(History[Destination]):
    list_display = (
        *("host", "organizer", "state", "failures", "last_cause", "waiting", "failed"),
        *("rate", "opened_at", "probe_at", "mended_at"),
    )
    list_filter = ("state",)
    list_select_related = ("organizer",)
    search_fields = ("host", "organizer__email", "last_cause")
    raw_id_fields = ("organizer",)
    date_hierarchy = "created_at"
    readonly_fields = ("causes",)
    actions = ("replay", "close")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Destination]:
        return destinations.with_counts(super().get_queryset(request))

    @admin.display(description="waiting")
    def waiting(self, destination: Any) -> int:
        return int(destination.waiting)

    @admin.display(description="failed")
    def failed(self, destination: Any) -> int:
        return int(destination.failed)

    @admin.display(description="calls by cause")
    def causes(self, destination: Destination) -> SafeString | str:
        return payload(json.dumps(destinations.causes(destination), default=str))

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("automation.change_destination")

    @admin.action(description="Replay the calls that have failed", permissions=["operate"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        count = sum(destinations.replay(row.pk) for row in queryset)
        self.message_user(request, f"{count} calls are being made again.", messages.SUCCESS)

    @admin.action(description="Close the circuit: the host is back", permissions=["operate"])
    def close(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        for row in queryset:
            destinations.close(row.pk, by=cast(User, request.user))
        self.message_user(request, "What waited goes on.", messages.SUCCESS)


@admin.register(HeldCall)
class HeldCallAdmin(History[HeldCall]):
    list_display = ("destination", "state", "cause", "message", "attempt", "waits", "since", "updated_at")
    list_filter = ("state", "cause")
    list_select_related = ("destination",)
    search_fields = ("destination__host", "execution__id", "cause", "message")
    raw_id_fields = ("destination", "execution")
    date_hierarchy = "since"


@admin.register(InboundSource)
class InboundSourceAdmin(BigTable[InboundSource]):
    """Sources are made, and their secrets rotated, in the API, which shows a secret once."""

    list_display = ("name", "kind", "organizer", "is_active", "received", "refused", "last_received_at")
    list_filter = ("kind", "is_active")
    list_select_related = ("organizer",)
    search_fields = ("name", "organizer__email", "id")
    raw_id_fields = ("organizer", "default_event_type")
    date_hierarchy = "created_at"
    readonly_fields = (
        *("organizer", "kind", "secret_hint", "former_secret_until", "event_types", "default_event_type"),
        *("received", "refused", "last_received_at", "last_refused_at", "created_at"),
    )

    @admin.display(description="secret")
    def secret_hint(self, source: InboundSource) -> str:
        try:
            return secrets.mask(secrets.decrypt(source.secret_encrypted))
        except secrets.CannotDecrypt as error:
            return error.message

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: InboundSource, form: Any, change: bool) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        inbound_sources.update(obj, by=cast(User, request.user), **changes)

    def delete_model(self, request: HttpRequest, obj: InboundSource) -> None:
        inbound_sources.delete(obj, by=cast(User, request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[InboundSource]) -> None:
        for source in queryset:
            inbound_sources.delete(source, by=cast(User, request.user))


@admin.register(InboundEvent)
class InboundEventAdmin(History[InboundEvent]):
    list_display = ("type", "source", "status", "note", "booking", "received_at", "deliveries", "attempts")
    list_filter = ("status", "source__kind", "type")
    list_select_related = ("source", "booking")
    search_fields = ("external_id", "type", "note", "source__name", "booking__id")
    raw_id_fields = ("source", "booking")
    date_hierarchy = "received_at"
    exclude = ("payload",)
    readonly_fields = ("shown_payload",)
    actions = ("process",)

    @admin.display(description="payload")
    def shown_payload(self, event: InboundEvent) -> SafeString | str:
        return payload(json.dumps(secrets.masked(json.loads(event.payload))))

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("automation.change_inboundevent")

    @admin.action(description="Process again", permissions=["operate"])
    def process(self, request: HttpRequest, queryset: QuerySet[InboundEvent]) -> None:
        for event in queryset:
            try:
                found = inbound.process(event.pk, again=True)
            except WeirError as error:
                self.message_user(request, f"{event}: {error.message}", messages.WARNING)
            else:
                self.message_user(request, f"{event}: {found.get_status_display()}. {found.note}", messages.INFO)


@admin.register(InboundBooking)
class InboundBookingAdmin(History[InboundBooking]):
    list_display = ("external_id", "source", "booking", "last_event_at")
    list_select_related = ("source", "booking")
    search_fields = ("external_id", "booking__id", "source__name")
    raw_id_fields = ("source", "booking")
