"""What an operator watches: alerts, worker nodes, leases."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from automation import clock
from automation.admin.base import History
from automation.models import Alert, Lease, ProviderRecord, WorkerHeartbeat


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in ("open", "closed"):
            return queryset.filter(closed_at__isnull=self.value() == "open")
        return queryset


@admin.register(Alert)
class AlertAdmin(History[Alert]):
    list_display = ("message", "kind", "severity", "workflow", "opened_at", "closed_at")
    list_filter = (OpenFilter, "severity", "kind")
    list_select_related = ("workflow",)
    search_fields = ("message", "key", "workflow__name")
    date_hierarchy = "opened_at"
    raw_id_fields = ("workflow", "execution")
    actions = ("close",)

    @admin.action(description="Close: the problem has been dealt with", permissions=["view"])
    def close(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        closed = queryset.filter(closed_at__isnull=True).update(closed_at=clock.now())
        self.message_user(request, f"{closed} closed; a problem that lasts opens its alert again.", messages.SUCCESS)


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(History[WorkerHeartbeat]):
    list_display = ("node", "hostname", "pid", "concurrency", "queues", "started_at", "seen_at", "stopped_at")
    list_filter = ("hostname", ("stopped_at", admin.EmptyFieldListFilter))
    search_fields = ("id", "node", "hostname")
    date_hierarchy = "started_at"
    ordering = ("-seen_at",)


@admin.register(Lease)
class LeaseAdmin(History[Lease]):
    list_display = ("name", "holder", "seen_at", "expires_at")
    search_fields = ("name", "holder")


@admin.register(ProviderRecord)
class ProviderRecordAdmin(History[ProviderRecord]):
    list_display = ("key", "provider", "kind", "created_at", "updated_at")
    list_filter = ("provider", "kind")
    search_fields = ("key",)
    date_hierarchy = "created_at"
