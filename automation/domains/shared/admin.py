"""Events and figures, for operators to read."""

from __future__ import annotations

from django.contrib import admin

from automation.domains.shared.models import Event, Figure, UserProcessing


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """What happened is read, and nothing else."""

    show_full_result_count = False

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return False


@admin.register(Event)
class EventAdmin(ReadOnly):
    list_display = ("name", "execution", "occurred_at")
    list_select_related = ("execution",)
    list_filter = ("name",)
    search_fields = ("name", "key", "execution__id")
    date_hierarchy = "occurred_at"


@admin.register(Figure)
class FigureAdmin(ReadOnly):
    list_display = ("name", "day", "dimensions", "value")
    list_filter = ("name",)
    search_fields = ("name", "dimensions")
    date_hierarchy = "day"


@admin.register(UserProcessing)
class UserProcessingAdmin(ReadOnly):
    list_display = ("action", "user", "processed_at")
    list_select_related = ("user",)
    list_filter = ("action",)
    search_fields = ("user__email", "key")
    date_hierarchy = "processed_at"
