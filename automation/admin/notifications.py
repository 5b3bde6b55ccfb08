"""Messages to people, and what they want of them."""

from __future__ import annotations

from typing import cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from automation.actions import suppressions
from automation.admin.base import Audited, BigTable, History, HistoryInline
from automation.models import (
    NotificationEvent,
    NotificationLog,
    NotificationPreference,
    PaymentOperation,
    Suppression,
    User,
)


class EventInline(HistoryInline):
    model = NotificationEvent
    fields = ("kind", "source", "detail", "occurred_at", "received_at")
    readonly_fields = ("received_at",)
    show_change_link = False


@admin.register(NotificationLog)
class NotificationLogAdmin(History[NotificationLog]):
    list_display = ("recipient", "channel", "subject", "status", "attempts", "created_at", "sent_at")
    list_filter = ("status", "channel")
    search_fields = ("recipient", "subject", "provider_id", "error", "execution__id")
    date_hierarchy = "created_at"
    raw_id_fields = ("organizer", "execution", "workflow", "booking")
    inlines = (EventInline,)
    exclude = ("body",)
    readonly_fields = ("shown_body",)


@admin.register(NotificationPreference)
class NotificationPreferenceAdmin(Audited[NotificationPreference], BigTable[NotificationPreference]):
    list_display = (
        "recipient",
        "organizer",
        "timezone",
        "quiet_from",
        "quiet_until",
        "daily_limit",
        "unsubscribed_at",
    )
    list_filter = (("unsubscribed_at", admin.EmptyFieldListFilter), "timezone")
    list_select_related = ("organizer",)
    search_fields = ("recipient", "organizer__email")
    autocomplete_fields = ("organizer",)


@admin.register(PaymentOperation)
class PaymentOperationAdmin(History[PaymentOperation]):
    """What the offline payments provider was asked for."""

    list_display = ("provider_id", "kind", "amount", "currency", "reference", "declined", "created_at")
    list_filter = ("kind", "currency", ("declined", admin.EmptyFieldListFilter))
    search_fields = ("provider_id", "idempotency_key", "reference", "destination")
    date_hierarchy = "created_at"
    raw_id_fields = ("parent",)


@admin.register(Suppression)
class SuppressionAdmin(History[Suppression]):
    list_display = ("recipient", "channel", "reason", "organizer", "created_at", "lifted_at")
    list_filter = ("reason", "channel", ("lifted_at", admin.EmptyFieldListFilter))
    list_select_related = ("organizer",)
    search_fields = ("recipient", "detail", "organizer__email")
    raw_id_fields = ("organizer", "notification")
    actions = ("lift",)

    @admin.action(description="Lift: messages may go there again", permissions=["lift"])
    def lift(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> None:
        lifted = suppressions.lift(queryset, by=cast(User, request.user))
        self.message_user(request, f"{lifted} lifted.", messages.SUCCESS)

    def has_lift_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("automation.change_suppression")
