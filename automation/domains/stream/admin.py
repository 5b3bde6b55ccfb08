"""Streams, for people to make and to look at."""

from __future__ import annotations

from django.contrib import admin

from automation.domains.stream.models import Stream, StreamParticipant, StreamRecording


class ParticipantInline(admin.TabularInline):  # type: ignore[type-arg]  # Django's class takes no parameters at run time
    model = StreamParticipant
    extra = 0
    fields = ("name", "email", "is_host", "token_expires_at")
    readonly_fields = ("token_expires_at",)


class RecordingInline(admin.TabularInline):  # type: ignore[type-arg]
    model = StreamRecording
    extra = 0
    can_delete = False
    fields = readonly_fields = ("provider_id", "status", "started_at", "duration", "link", "link_expires_at")

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        """Recordings are made by the provider."""
        return False


@admin.register(Stream)
class StreamAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("title", "host", "starts_at", "ends_at", "status", "room_url", "problem")
    list_filter = ("status",)
    list_select_related = ("host",)
    search_fields = ("title", "host__email", "room_name")
    date_hierarchy = "starts_at"
    raw_id_fields = ("host", "booking")
    readonly_fields = (
        "status", "room_name", "room_url", "problem", "created_at", "ready_at", "ended_at", "archived_at"
    )  # fmt: skip
    inlines = (ParticipantInline, RecordingInline)
    show_full_result_count = False
