"""A booking's timeline, and why workflows acted on it or not."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from automation.api.serializers import choices
from automation.api.serializers.bookings import MomentField


class EntrySerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=choices.TIMELINE_KINDS)
    at = serializers.DateTimeField()
    status = serializers.CharField(help_text="A message's; or what is planned would come to, as things are.")
    workflow_id = serializers.UUIDField(allow_null=True)
    workflow_name = serializers.CharField()
    execution_id = serializers.UUIDField(allow_null=True, help_text="What the controls are about.")
    action_id = serializers.CharField()
    action = serializers.CharField()
    action_type = serializers.CharField()
    channel = serializers.CharField()
    recipients = serializers.ListField(child=serializers.CharField())
    subject = serializers.CharField()
    reason = serializers.CharField()
    actor = serializers.CharField()
    changes = serializers.DictField()
    set_by_hand = serializers.BooleanField(help_text="A person has set its time.")
    has_begun = serializers.BooleanField(help_text="The controls are about this action alone, named by `action_id`.")
    after = serializers.ListField(
        child=serializers.CharField(),
        help_text="The actions that have to end before its turn comes; `at` is the earliest time.",
    )
    controls = serializers.ListField(child=serializers.ChoiceField(choices=["skip", "send_now", "move"]))
    controls_note = serializers.CharField(
        allow_blank=True, help_text="Of what is planned: what cannot be done about it, and why."
    )


class TimelineSerializer(serializers.Serializer[Any]):
    """What happened and what is planned, by time."""

    booking_id = serializers.UUIDField()
    now = serializers.DateTimeField()
    entries = EntrySerializer(many=True)


class SendNowSerializer(serializers.Serializer[Any]):
    action_id = serializers.UUIDField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Of an execution that has begun: this action alone. Else all that wait.",
    )


class SkipSerializer(SendNowSerializer):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)


class MoveSerializer(SendNowSerializer):
    at = MomentField()


class ReasonSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    details = serializers.DictField(help_text="Of a rule that did not hold: what it expected, and what it met.")

    class Meta:
        ref_name = "Stop"


class ExplainedActionSerializer(serializers.Serializer[Any]):
    action_id = serializers.CharField()
    name = serializers.CharField()
    action_type = serializers.CharField()
    status = serializers.ChoiceField(choices=choices.ACTION_STATUSES)
    completed_at = serializers.DateTimeField(allow_null=True)
    reasons = ReasonSerializer(many=True)


class ExplainedExecutionSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    status = serializers.CharField()
    verdict = serializers.ChoiceField(choices=["running", "planned", "failed", "acted", "stopped"])
    trigger = serializers.CharField()
    version = serializers.IntegerField(allow_null=True)
    by_hand = serializers.BooleanField(help_text="A live test, or another run that no event has started.")
    scheduled_for = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    actions = ExplainedActionSerializer(many=True)


class ExplainedWorkflowSerializer(serializers.Serializer[Any]):
    workflow_id = serializers.UUIDField()
    workflow_name = serializers.CharField()
    trigger = serializers.CharField()
    is_active = serializers.BooleanField()
    verdict = serializers.ChoiceField(choices=["running", "planned", "failed", "acted", "stopped", "not_started"])
    reasons = ReasonSerializer(many=True, help_text="What stopped it, or part of it.")
    executions = ExplainedExecutionSerializer(many=True)


class ExplainedEventSerializer(serializers.Serializer[Any]):
    trigger = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]
    processed_at = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField()


class ExplanationSerializer(serializers.Serializer[Any]):
    """Every workflow of the organizer, with what stopped each that did not act."""

    booking_id = serializers.UUIDField()
    booking_status = serializers.CharField()
    explained_at = serializers.DateTimeField()
    events = ExplainedEventSerializer(many=True)
    workflows = ExplainedWorkflowSerializer(many=True)
