"""Workflows with their actions nested, and actions by themselves."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from automation.api.serializers.fields import ChoiceField, ConditionsField, EventTypesField, ObjectField, Strict
from automation.models import Workflow, WorkflowAction
from automation.models.validators import MAX_TAG_LENGTH, MAX_TAGS

MAX_DELAY = 5 * 366 * 24 * 60
"""Minutes: five years, which keeps planned times inside the calendar."""
MAX_ACTIONS = 200
STATISTICS = ("total_executions", "successful_executions", "failed_executions", "success_rate", "last_executed_at")


class ActionSerializer(Strict, serializers.ModelSerializer[WorkflowAction]):
    """One action; which fields it needs depends on its `action_type` (see `workflows/action-types/`)."""

    serializer_choice_field = ChoiceField
    name = serializers.CharField(
        max_length=200, required=False, allow_blank=True, help_text="Made from the action type where none is given."
    )
    order = serializers.IntegerField(
        min_value=0,
        max_value=100_000,
        required=False,
        help_text="Equal orders run in parallel; without one an action comes after the one before it.",
    )
    delay_minutes = serializers.IntegerField(min_value=0, max_value=MAX_DELAY, required=False)
    webhook_data = ObjectField(required=False)
    webhook_secret = serializers.CharField(
        write_only=True,
        required=False,
        allow_blank=True,
        max_length=500,
        help_text="Signs the webhook; stored encrypted and never shown. An empty text removes it.",
    )
    webhook_secret_set = serializers.SerializerMethodField()
    conditions = ConditionsField(required=False)
    update_booking_fields = ObjectField(required=False)
    config = ObjectField(required=False, help_text="The settings that only this action type has.")
    success_rate = serializers.FloatField(source="get_success_rate", read_only=True, help_text="Percent.")

    class Meta:
        model = WorkflowAction
        fields: tuple[str, ...] = (
            "id",
            "name",
            "action_type",
            "order",
            "delay_minutes",
            "on_failure",
            "recipient",
            "custom_email",
            "custom_phone",
            "subject",
            "message",
            "webhook_url",
            "webhook_data",
            "webhook_secret",
            "webhook_secret_set",
            "conditions",
            "update_booking_fields",
            "config",
            "is_active",
            "disabled_reason",
            *STATISTICS,
        )
        read_only_fields: tuple[str, ...] = ("id", "disabled_reason", *STATISTICS)

    def get_webhook_secret_set(self, action: WorkflowAction) -> bool:
        return bool(action.webhook_secret_encrypted)


class NestedActionSerializer(ActionSerializer):
    """An action inside its workflow's body: with an `id` it is that action, edited; without, a new one."""

    also_read = frozenset({"workflow"})
    id = serializers.UUIDField(required=False, allow_null=True)


class StandaloneActionSerializer(ActionSerializer):
    """An action by itself, which says whose it is."""

    class Meta(ActionSerializer.Meta):
        fields = ("id", "workflow", *ActionSerializer.Meta.fields[1:])
        read_only_fields = (*ActionSerializer.Meta.read_only_fields, "workflow")


class WorkflowSerializer(Strict, serializers.ModelSerializer[Workflow]):
    """A workflow with its actions. A body that names `actions` replaces the list: actions whose `id` is given are
    kept and edited, the others go."""

    serializer_choice_field = ChoiceField
    event_types = EventTypesField(required=False, help_text="Empty: all of the organizer's event types.")
    delay_minutes = serializers.IntegerField(min_value=0, max_value=MAX_DELAY, required=False)
    tags = serializers.ListField(
        child=serializers.CharField(max_length=MAX_TAG_LENGTH), required=False, max_length=MAX_TAGS
    )
    actions = NestedActionSerializer(many=True, required=False, max_length=MAX_ACTIONS)  # type: ignore[call-arg]
    success_rate = serializers.FloatField(source="get_success_rate", read_only=True, help_text="Percent.")

    class Meta:
        model = Workflow
        fields: tuple[str, ...] = (
            "id",
            "organizer",
            "name",
            "description",
            "trigger",
            "event_types",
            "delay_minutes",
            "late_policy",
            "is_active",
            "tags",
            "version",
            "actions",
            *STATISTICS,
            "created_at",
            "updated_at",
        )
        read_only_fields: tuple[str, ...] = ("id", "organizer", "version", *STATISTICS, "created_at", "updated_at")
        validators: list[Any] = []  # the name is checked by the service, which knows the organizer
