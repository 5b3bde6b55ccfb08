"""Rooms, for people to look at."""

from __future__ import annotations

from django.contrib import admin

from automation.domains.room.models import Room


@admin.register(Room)
class RoomAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django's class takes no parameters at run time
    list_display = ("name", "purpose", "status", "expires_at", "created_at", "deleted_at", "problem")
    list_filter = ("status", "recording")
    search_fields = ("name", "purpose", "url", "booking__invitee_email")
    date_hierarchy = "created_at"
    raw_id_fields = ("booking",)
    show_full_result_count = False

    def has_add_permission(self, request: object) -> bool:
        """Rooms are made by workflows, which tell the provider."""
        return False
