"""Event types, bookings, and what happened to them."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from automation.admin.base import Audited, BigTable, History, HistoryInline
from automation.causes import caused_by
from automation.errors import Conflict
from automation.models import Booking, BookingAuditLog, BookingEvent, EventType, User
from automation.services import bookings, event_types


@admin.register(EventType)
class EventTypeAdmin(Audited[EventType]):
    list_display = ("name", "organizer", "duration", "location_type", "max_attendees", "is_active", "created_at")
    list_filter = ("is_active", "location_type")
    list_select_related = ("organizer",)
    search_fields = ("name", "slug", "organizer__email")
    autocomplete_fields = ("organizer",)
    date_hierarchy = "created_at"
    readonly_fields = ("created_at",)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """One by one, as each may be in use."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def delete_model(self, request: HttpRequest, obj: EventType) -> None:
        event_types.delete(obj.pk, by=cast(User, request.user))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except Conflict as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(reverse("admin:automation_eventtype_change", args=[object_id]))


class EventInline(HistoryInline):
    model = BookingEvent
    fk_name = "booking"
    fields = ("trigger", "booking_sequence", "source", "depth", "occurred_at", "processed_at", "note")
    readonly_fields = fields


class AuditInline(HistoryInline):
    model = BookingAuditLog
    fields = ("action", "actor", "old_values", "new_values", "created_at")
    readonly_fields = fields


@admin.register(Booking)
class BookingAdmin(BigTable[Booking]):
    """Bookings are saved as everywhere else, so that an edit here triggers workflows too."""

    list_display = ("invitee_name", "invitee_email", "event_type", "organizer", "start_time", "status", "sequence")
    list_filter = ("status", "start_time", "event_type__location_type")
    list_select_related = ("event_type", "organizer")
    search_fields = ("invitee_name", "invitee_email", "invitee_phone", "organizer__email", "id")
    autocomplete_fields = ("event_type", "organizer")
    raw_id_fields = ("rescheduled_from",)
    date_hierarchy = "start_time"
    readonly_fields = ("id", "sequence", "created_at", "updated_at")
    inlines = (EventInline, AuditInline)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Cancelled, not deleted: what was sent about it stays on record."""
        return False

    def save_model(self, request: HttpRequest, obj: Booking, form: Any, change: bool) -> None:
        before = Booking.objects.select_for_update().get(pk=obj.pk) if change else None
        with caused_by(f"admin:{request.user}"[:100]):
            super().save_model(request, obj, form, change)
        bookings.record_edit(before, obj, actor=cast(User, request.user).email)


@admin.register(BookingEvent)
class BookingEventAdmin(History[BookingEvent]):
    list_display = ("trigger", "booking", "booking_sequence", "source", "occurred_at", "attempts", "processed_at")
    list_filter = ("trigger", ("processed_at", admin.EmptyFieldListFilter), "source")
    list_select_related = ("booking",)
    search_fields = ("booking__id", "booking__invitee_email", "source", "note")
    date_hierarchy = "occurred_at"
    raw_id_fields = ("booking", "caused_by")


@admin.register(BookingAuditLog)
class BookingAuditLogAdmin(History[BookingAuditLog]):
    list_display = ("action", "actor", "booking", "created_at")
    list_filter = ("action",)
    list_select_related = ("booking",)
    search_fields = ("booking__id", "booking__invitee_email", "actor")
    date_hierarchy = "created_at"
    raw_id_fields = ("booking", "execution")
