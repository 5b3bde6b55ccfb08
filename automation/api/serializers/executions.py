"""Executions and their steps, read-only."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from automation.durable import payloads
from automation.models import ExecutionStep, StepStatus, WorkflowExecution
from automation.services import executions


@extend_schema_field({"nullable": True, "description": "Any JSON."})
class PayloadField(serializers.Field[Any, Any, Any, Any]):
    """A payload column: JSON text that the engine wrote, shown as JSON; null where nothing was written."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"read_only": True, **kwargs})

    def to_representation(self, value: str) -> Any:
        return payloads.decode(value)


class OutputField(PayloadField):
    """A step's result, which only a completed one has: of others the engine keeps a note of its own in the column."""

    def get_attribute(self, instance: ExecutionStep) -> str:
        return instance.output if instance.status == StepStatus.COMPLETED else ""


@extend_schema_field({"type": "object", "nullable": True, "additionalProperties": True})
class FailureField(PayloadField):
    """A failure: `message`, `type`, `details` and its cause likewise; Python's stack for staff only."""

    def to_representation(self, value: str) -> Any:
        failure = payloads.decode(value)
        user = getattr(self.context.get("request"), "user", None)
        return failure if getattr(user, "is_staff", False) else _without_stack(failure)


def _without_stack(failure: Any) -> Any:
    if not isinstance(failure, dict):
        return failure
    return {
        name: _without_stack(value) if name == "cause" else value for name, value in failure.items() if name != "stack"
    }


class ExecutionSerializer(serializers.ModelSerializer[WorkflowExecution]):
    """An execution as lists show it."""

    workflow_name = serializers.SerializerMethodField(
        help_text="The workflow's present name; its class's for a Python workflow."
    )
    version = serializers.SerializerMethodField(help_text="The number of the version that it runs.")
    input = PayloadField(help_text="The arguments that the workflow was started with.")
    result = PayloadField(help_text="What the workflow returned; null until then.")
    is_paused = serializers.SerializerMethodField()

    class Meta:
        model = WorkflowExecution
        fields: tuple[str, ...] = (
            "id",
            "workflow",
            "workflow_name",
            "definition",
            "business_id",
            "version",
            "booking",
            "trigger",
            "status",
            "is_paused",
            "scheduled_for",
            "created_at",
            "started_at",
            "completed_at",
            "error_message",
            "actions_executed",
            "actions_failed",
            "input",
            "result",
        )
        read_only_fields: tuple[str, ...] = fields

    def get_workflow_name(self, execution: WorkflowExecution) -> str:
        return execution.workflow.name if execution.workflow is not None else execution.definition

    def get_version(self, execution: WorkflowExecution) -> int | None:
        return execution.version.number if execution.version is not None else None

    def get_is_paused(self, execution: WorkflowExecution) -> bool:
        return execution.paused_at is not None


class ExecutionDetailSerializer(ExecutionSerializer):
    """An execution by itself, with its log: one entry per action, derived from its steps."""

    execution_log = serializers.SerializerMethodField()
    failure = FailureField()

    class Meta(ExecutionSerializer.Meta):
        fields = (*ExecutionSerializer.Meta.fields, "failure", "execution_log")
        read_only_fields = fields

    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
    def get_execution_log(self, execution: WorkflowExecution) -> Any:
        return executions.execution_log(execution)


class StepSerializer(serializers.ModelSerializer[ExecutionStep]):
    """One durable thing that an execution did, asked for, or received."""

    input = PayloadField()
    output = OutputField()
    failure = FailureField()

    class Meta:
        model = ExecutionStep
        fields = (
            "seq",
            "kind",
            "name",
            "status",
            "attempt",
            "queue",
            "run_at",
            "created_at",
            "started_at",
            "completed_at",
            "heartbeat_at",
            "input",
            "output",
            "failure",
            "worker",
        )
        read_only_fields = fields


class ReasonSerializer(serializers.Serializer[Any]):
    """The body of a control that may say why."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=500, default="")
