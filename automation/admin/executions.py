"""Executions with their steps: read here, and steered by actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from automation.admin.base import History, HistoryInline, payload
from automation.durable import control
from automation.errors import WeirError
from automation.models import ExecutionStatus, ExecutionStep, WorkflowExecution


class NeedsAttention(admin.SimpleListFilter):
    """The executions that do not go on by themselves."""

    title = "attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("dead", "Dead letters"), ("parked", "Parked: the code does not fit the history"), ("paused", "Paused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "dead":
                return queryset.filter(status=ExecutionStatus.DEAD_LETTER)
            case "parked":
                return queryset.filter(status=ExecutionStatus.PARKED)
            case "paused":
                return queryset.filter(paused_at__isnull=False)
        return queryset


class StepInline(HistoryInline):
    model = ExecutionStep
    fields = (
        "seq",
        "kind",
        "name",
        "status",
        "attempt",
        "run_at",
        "started_at",
        "completed_at",
        "worker",
        "shown_output",
        "shown_failure",
    )
    readonly_fields = fields
    ordering = ("seq",)

    @admin.display(description="output")
    def shown_output(self, step: ExecutionStep) -> SafeString | str:
        return payload(step.output)

    @admin.display(description="failure")
    def shown_failure(self, step: ExecutionStep) -> SafeString | str:
        return payload(step.failure)


@admin.register(WorkflowExecution)
class WorkflowExecutionAdmin(History[WorkflowExecution]):
    list_display = (
        "id",
        "shown_workflow",
        "trigger",
        "status",
        "booking",
        "scheduled_for",
        "started_at",
        "completed_at",
        "actions_executed",
        "actions_failed",
    )
    list_filter = (NeedsAttention, "status", "trigger", "queue", "definition")
    list_select_related = ("workflow", "booking")
    search_fields = ("id", "business_id", "definition", "workflow__name", "booking__invitee_email", "error_message")
    date_hierarchy = "created_at"
    raw_id_fields = ("workflow", "version", "booking")
    inlines = (StepInline,)
    exclude = ("input", "result", "failure")
    readonly_fields = ("shown_input", "shown_result", "shown_failure")
    actions = ("cancel", "retry", "redrive", "pause", "resume")

    @admin.display(description="workflow", ordering="workflow__name")
    def shown_workflow(self, execution: WorkflowExecution) -> str:
        return execution.workflow.name if execution.workflow is not None else execution.definition

    @admin.display(description="input")
    def shown_input(self, execution: WorkflowExecution) -> SafeString | str:
        return payload(execution.input)

    @admin.display(description="result")
    def shown_result(self, execution: WorkflowExecution) -> SafeString | str:
        return payload(execution.result)

    @admin.display(description="failure")
    def shown_failure(self, execution: WorkflowExecution) -> SafeString | str:
        return payload(execution.failure)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Steering asks for the right to change executions, though their rows cannot be edited."""
        return request.user.has_perm("automation.change_workflowexecution")

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[WorkflowExecution]) -> None:
        self._each(request, queryset, "cancelled", lambda id: control.cancel(id, f"by {request.user} in the admin"))

    @admin.action(description="Retry from the failed steps", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[WorkflowExecution]) -> None:
        self._each(request, queryset, "retried", control.retry)

    @admin.action(description="Re-drive dead letters", permissions=["operate"])
    def redrive(self, request: HttpRequest, queryset: QuerySet[WorkflowExecution]) -> None:
        self._each(request, queryset, "re-driven", control.redrive)

    @admin.action(description="Pause", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[WorkflowExecution]) -> None:
        self._each(request, queryset, "paused", control.pause)

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[WorkflowExecution]) -> None:
        self._each(request, queryset, "resumed", control.resume)

    def _each(
        self, request: HttpRequest, queryset: QuerySet[WorkflowExecution], done: str, do: Callable[[UUID], Any]
    ) -> None:
        """One by one: an execution whose state does not allow it is named and does not hold up the others."""
        count = 0
        for id in queryset.order_by("pk").values_list("pk", flat=True).iterator():
            try:
                do(id)
            except WeirError as error:
                self.message_user(request, f"{id}: {error.message}", messages.WARNING)
            else:
                count += 1
        if count:
            self.message_user(request, f"{count} {done}.", messages.SUCCESS)


@admin.register(ExecutionStep)
class ExecutionStepAdmin(History[ExecutionStep]):
    list_display = ("name", "seq", "execution", "kind", "status", "attempt", "run_at", "started_at", "completed_at")
    list_filter = ("status", "kind", "queue")
    list_select_related = ("execution",)
    search_fields = ("execution__id", "name", "worker")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    raw_id_fields = ("execution",)
    exclude = ("input", "output", "failure", "options")
    readonly_fields = ("shown_input", "shown_output", "shown_failure", "shown_options")

    @admin.display(description="input")
    def shown_input(self, step: ExecutionStep) -> SafeString | str:
        return payload(step.input)

    @admin.display(description="output")
    def shown_output(self, step: ExecutionStep) -> SafeString | str:
        return payload(step.output)

    @admin.display(description="failure")
    def shown_failure(self, step: ExecutionStep) -> SafeString | str:
        return payload(step.failure)

    @admin.display(description="options")
    def shown_options(self, step: ExecutionStep) -> SafeString | str:
        return payload(step.options)
