"""Backtests, summaries and copies of workflows."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from automation.models import ExecutionStatus
from automation.services.backtest import MAX_BOOKINGS


class DuplicateSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=200, help_text="Without one: `Reminder (copy)`."
    )
    is_active = serializers.BooleanField(required=False, default=False)
    draft = serializers.BooleanField(required=False, default=False, help_text="Copy the draft, where there is one.")


class BacktestRequestSerializer(serializers.Serializer[Any]):
    bookings = serializers.IntegerField(
        required=False, default=200, min_value=1, max_value=MAX_BOOKINGS, help_text="How many of the newest."
    )
    version = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        max_value=2**31 - 1,
        help_text="Instead of the draft.",
    )
    only_differences = serializers.BooleanField(
        required=False, default=False, help_text="Leave out the bookings on which both do the same."
    )


class VerdictSerializer(serializers.Serializer[Any]):
    acts = serializers.BooleanField()
    actions = serializers.ListField(child=serializers.CharField(), help_text="The names of those that would have run.")
    planned_for = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField(help_text="Why nothing would have happened.")


class ComparisonSerializer(serializers.Serializer[Any]):
    booking_id = serializers.UUIDField()
    invitee_name = serializers.CharField()
    event_type_name = serializers.CharField()
    start_time = serializers.DateTimeField()
    candidate = VerdictSerializer()
    live = VerdictSerializer()
    differs = serializers.BooleanField()


class BacktestSerializer(serializers.Serializer[Any]):
    """What the draft, or the version asked for, would have done about the last bookings, beside the live version."""

    candidate_version = serializers.IntegerField(allow_null=True, help_text="Null: the draft.")
    live_version = serializers.IntegerField()
    bookings = serializers.IntegerField()
    candidate_acts = serializers.IntegerField()
    live_acts = serializers.IntegerField()
    both_act = serializers.IntegerField()
    only_candidate = serializers.IntegerField()
    only_live = serializers.IntegerField()
    differences = serializers.IntegerField(help_text="Bookings on which other actions, or at other times, would run.")
    summary = serializers.CharField()
    results = ComparisonSerializer(many=True)


class SecondsSerializer(serializers.Serializer[Any]):
    average = serializers.FloatField(allow_null=True)
    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)


class ActionSummarySerializer(serializers.Serializer[Any]):
    action_id = serializers.UUIDField()
    name = serializers.CharField()
    action_type = serializers.CharField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    skipped_conditions = serializers.IntegerField()
    skipped = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True)
    last_error = serializers.CharField()


class ErrorGroupSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    count = serializers.IntegerField()
    last_at = serializers.DateTimeField(allow_null=True)


class RecentExecutionSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ExecutionStatus.choices)
    booking_id = serializers.UUIDField(allow_null=True)
    scheduled_for = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    error_message = serializers.CharField()


class PlannedSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    next_at = serializers.DateTimeField(allow_null=True)


class LifetimeSerializer(serializers.Serializer[Any]):
    total_executions = serializers.IntegerField()
    successful_executions = serializers.IntegerField()
    failed_executions = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True)
    last_executed_at = serializers.DateTimeField(allow_null=True)


class ExecutionSummarySerializer(serializers.Serializer[Any]):
    """What a workflow's executions came to. Rates are percents, times seconds; null where nothing is known."""

    workflow_id = serializers.UUIDField()
    workflow_name = serializers.CharField()
    version = serializers.IntegerField()
    days = serializers.IntegerField()
    total = serializers.IntegerField()
    by_status = serializers.DictField(child=serializers.IntegerField())
    success_rate = serializers.FloatField(allow_null=True)
    seconds = SecondsSerializer()
    actions = ActionSummarySerializer(many=True)
    errors = ErrorGroupSerializer(many=True)  # type: ignore[assignment]
    recent = RecentExecutionSerializer(many=True)
    planned = PlannedSerializer()
    lifetime = LifetimeSerializer()
