"""What operations have done, for people to look at."""

from __future__ import annotations

from django.contrib import admin

from automation.domains.ops.models import Backup, Monitor, PlanCommand, PlanRun


class ReadOnly:
    """Rows that say what happened."""

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return False


@admin.register(Backup)
class BackupAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # Django's takes no parameters at run time
    list_display = ("created_at", "vendor", "status", "size", "path", "verified_at", "pruned_at", "problem")
    list_filter = ("status", "vendor")
    search_fields = ("path", "sha256", "problem")
    date_hierarchy = "created_at"


@admin.register(Monitor)
class MonitorAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("url", "is_up", "status_code", "elapsed_ms", "problem", "probed_at", "changed_at")
    list_filter = ("is_up",)
    search_fields = ("url",)


class CommandInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = PlanCommand
    extra = 0
    fields = ("step", "phase", "target", "argv", "attempt", "exit_code", "seconds", "stdout", "stderr", "ended_at")


@admin.register(PlanRun)
class PlanRunAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "kind", "status", "runner", "problem", "started_at", "ended_at")
    list_filter = ("status", "kind", "runner")
    search_fields = ("name", "problem")
    date_hierarchy = "started_at"
    inlines = (CommandInline,)
