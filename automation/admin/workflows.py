"""Workflows, their actions, versions, and templates."""

from __future__ import annotations

import json
from typing import Any, cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from automation.admin.base import History, HistoryInline, Page, payload
from automation.errors import WeirError
from automation.models import User, Workflow, WorkflowAction, WorkflowTemplate, WorkflowVersion
from automation.secrets import masked
from automation.services import workflows


class ActionInline(HistoryInline):
    model = WorkflowAction
    fields = ("order", "name", "action_type", "delay_minutes", "recipient", "on_failure", "is_active", "rate")
    readonly_fields = fields
    ordering = ("order", "id")

    @admin.display(description="success rate")
    def rate(self, action: WorkflowAction) -> str:
        return f"{action.get_success_rate():g} %"


@admin.register(Workflow)
class WorkflowAdmin(History[Workflow]):
    """Workflows are edited where their actions are checked and versions are made: in the API and on the web pages.
    Here they are found, read, and switched on and off."""

    list_display = (
        "name",
        "organizer",
        "trigger",
        "delay_minutes",
        "is_active",
        "version",
        "total_executions",
        "rate",
        "last_executed_at",
    )
    list_filter = ("is_active", "trigger", "late_policy")
    list_select_related = ("organizer",)
    search_fields = ("name", "description", "organizer__email", "id")
    raw_id_fields = ("organizer", "event_types")
    date_hierarchy = "created_at"
    inlines = (ActionInline,)
    actions = ("switch_on", "switch_off")

    @admin.display(description="success rate")
    def rate(self, workflow: Workflow) -> str:
        return f"{workflow.get_success_rate():g} %"

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("automation.change_workflow")

    @admin.action(description="Switch on: plan for the bookings that have not passed", permissions=["operate"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> None:
        self._switch(request, queryset, True)

    @admin.action(description="Switch off: stop what is planned", permissions=["operate"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> None:
        self._switch(request, queryset, False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Workflow], on: bool) -> None:
        count = 0
        for workflow in queryset.filter(is_active=not on):
            try:
                workflows.update(workflow, by=cast(User, request.user), is_active=on)
            except WeirError as error:
                self.message_user(request, f"{workflow}: {error.message}", messages.WARNING)
            else:
                count += 1
        self.message_user(request, f"{count} switched {'on' if on else 'off'}.", messages.SUCCESS)


@admin.register(WorkflowAction)
class WorkflowActionAdmin(History[WorkflowAction]):
    list_display = (
        "name",
        "workflow",
        "action_type",
        "order",
        "recipient",
        "is_active",
        "disabled_reason",
        "total_executions",
        "failed_executions",
        "last_executed_at",
    )
    list_filter = ("action_type", "is_active", "recipient", "on_failure")
    list_select_related = ("workflow",)
    search_fields = ("name", "workflow__name", "workflow__organizer__email", "webhook_url", "subject", "id")
    raw_id_fields = ("workflow",)
    exclude = ("webhook_secret_encrypted",)


@admin.register(WorkflowVersion)
class WorkflowVersionAdmin(History[WorkflowVersion]):
    list_display = ("workflow", "number", "created_by", "created_at")
    list_select_related = ("workflow", "created_by")
    search_fields = ("workflow__name", "workflow__id", "created_by__email")
    date_hierarchy = "created_at"
    raw_id_fields = ("workflow", "created_by")
    exclude = ("snapshot",)
    readonly_fields = ("shown_snapshot",)

    @admin.display(description="snapshot")
    def shown_snapshot(self, version: WorkflowVersion) -> Any:
        return payload(json.dumps(masked(version.snapshot)))


@admin.register(WorkflowTemplate)
class WorkflowTemplateAdmin(Page[WorkflowTemplate]):
    list_display = ("name", "category", "organizer", "is_public", "usage_count", "created_at")
    list_filter = ("category", "is_public")
    list_select_related = ("organizer",)
    search_fields = ("name", "description", "organizer__email")
    autocomplete_fields = ("organizer",)
    date_hierarchy = "created_at"
    readonly_fields = ("usage_count", "created_at")
