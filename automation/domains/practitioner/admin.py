"""Practitioners, and the papers that people review here."""

from __future__ import annotations

from django.contrib import admin

from automation.domains.practitioner.models import (
    BackgroundCheck,
    Document,
    OnboardingPart,
    Practitioner,
    TrainingCompletion,
    TrainingModule,
)


class DocumentInline(admin.TabularInline):  # type: ignore[type-arg]  # Django's class takes no parameters at run time
    model = Document
    extra = 0


class BackgroundCheckInline(admin.TabularInline):  # type: ignore[type-arg]
    model = BackgroundCheck
    extra = 0


class TrainingInline(admin.TabularInline):  # type: ignore[type-arg]
    model = TrainingCompletion
    extra = 0


class PartInline(admin.TabularInline):  # type: ignore[type-arg]
    model = OnboardingPart
    extra = 0
    can_delete = False
    fields = readonly_fields = ("part", "status", "source", "reason", "began_at", "ended_at")

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        """Parts are written by workflows."""
        return False


@admin.register(Practitioner)
class PractitionerAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("user", "headline", "status", "status_reason", "created_at", "activated_at")
    list_filter = ("status",)
    list_select_related = ("user",)
    search_fields = ("user__email", "user__first_name", "user__last_name", "headline")
    date_hierarchy = "created_at"
    raw_id_fields = ("user",)
    readonly_fields = ("status", "status_reason", "created_at", "onboarding_started_at", "activated_at")
    inlines = (PartInline, DocumentInline, BackgroundCheckInline, TrainingInline)
    show_full_result_count = False


@admin.register(TrainingModule)
class TrainingModuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("code", "title", "is_required")
    list_filter = ("is_required",)
    search_fields = ("code", "title")
