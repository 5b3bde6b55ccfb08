"""Sessions, for operators: who came can be noted by hand."""

from __future__ import annotations

from django.contrib import admin

from automation.domains.booking.models import Attendance, Feedback, SessionMessage


@admin.register(Attendance)
class AttendanceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django's class takes no parameters at run time
    list_display = ("booking", "role", "joined_at")
    list_select_related = ("booking",)
    list_filter = ("role",)
    search_fields = ("booking__invitee_email",)
    date_hierarchy = "joined_at"
    raw_id_fields = ("booking",)
    show_full_result_count = False


@admin.register(SessionMessage)
class SessionMessageAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("booking", "kind", "role", "status", "created_at", "sent_at")
    list_select_related = ("booking",)
    list_filter = ("status", "kind", "role")
    search_fields = ("booking__invitee_email", "key", "error")
    date_hierarchy = "created_at"
    show_full_result_count = False

    def has_add_permission(self, request: object) -> bool:
        """Messages are sent by workflows."""
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return False


@admin.register(Feedback)
class FeedbackAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("booking", "rating", "submitted_at")
    list_select_related = ("booking",)
    list_filter = ("rating",)
    search_fields = ("booking__invitee_email", "comment")
    date_hierarchy = "submitted_at"
    raw_id_fields = ("booking",)
    show_full_result_count = False
