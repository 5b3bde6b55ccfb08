"""Bodies of tests, validations and bulk tests, in and out."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from automation.api.serializers import choices
from automation.api.serializers.bookings import MomentField
from automation.api.serializers.fields import ChoiceField, ObjectField
from automation.models import ExecutionStatus, TestType

MAX_WORKFLOWS = 200
MAX_BOOKINGS = 500


class TestRequestSerializer(serializers.Serializer[Any]):
    """What to try, and with what."""

    __test__ = False  # no test of pytest's

    test_type = ChoiceField(choices=TestType.choices)
    booking_id = serializers.UUIDField(
        required=False, allow_null=True, default=None, help_text="For real_data and live_test."
    )
    sample = ObjectField(
        required=False, help_text="For mock_data: context fields of the invented booking; the others follow from them."
    )
    at = MomentField(
        required=False, allow_null=True, default=None, help_text="Travel in time: the moment from which to look."
    )
    draft = serializers.BooleanField(required=False, default=False, help_text="Try the draft, where there is one.")
    live_test = serializers.BooleanField(
        required=False, default=False, help_text="Has to be true for a live_test: messages go out."
    )
    send_to_me = serializers.BooleanField(
        required=False,
        default=False,
        help_text="In a live_test: everything goes to you instead, and nothing is called or changed.",
    )
    skip_delays = serializers.BooleanField(
        required=False, default=False, help_text="In a live_test: actions do not wait for their delays."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind = attrs["test_type"]
        problems: dict[str, str] = {}
        if kind == TestType.LIVE_TEST and not attrs["live_test"]:
            problems["live_test"] = (
                "A live test sends real messages. Say 'live_test': true if that is meant; 'send_to_me': true sends "
                "them to you instead."
            )
        if kind != TestType.LIVE_TEST and (attrs["live_test"] or attrs["send_to_me"] or attrs["skip_delays"]):
            problems["test_type"] = f"{kind} sends nothing; a live test has the test_type 'live_test'."
        if kind != TestType.MOCK_DATA and attrs["booking_id"] is None:
            problems["booking_id"] = f"Required for {kind}: the booking to try it with."
        if kind != TestType.MOCK_DATA and attrs.get("sample"):
            problems["sample"] = "Only mock_data takes a sample; a booking that there is has its own values."
        if kind == TestType.MOCK_DATA and attrs["booking_id"] is not None:
            problems["booking_id"] = "mock_data invents its booking; use real_data for this one."
        if kind == TestType.LIVE_TEST and attrs["at"] is not None:
            problems["at"] = "A live test happens now."
        if problems:
            raise serializers.ValidationError(problems)
        return attrs


class DraftChoiceSerializer(serializers.Serializer[Any]):
    """Which of the two is meant."""

    draft = serializers.BooleanField(required=False, default=False, help_text="The draft, where there is one.")
    runtime = serializers.BooleanField(
        required=False, default=True, help_text="Also look at the surroundings: hosts, servers, workers, bookings."
    )


class IssueSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    path = serializers.CharField(help_text="`actions[1].conditions[0]`.")
    message = serializers.CharField()
    suggestion = serializers.CharField(help_text="What would be right; may be empty.")
    line = serializers.IntegerField(allow_null=True, help_text="A template's line.")


class RuntimeCheckSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=choices.CHECK_STATUSES)
    message = serializers.CharField()


class ValidationSerializer(serializers.Serializer[Any]):
    """What is wrong, what may be, and what the surroundings say."""

    valid = serializers.BooleanField(help_text="There is no error.")
    errors = IssueSerializer(many=True)  # type: ignore[assignment]
    warnings = IssueSerializer(many=True)
    runtime_checks = RuntimeCheckSerializer(many=True)
    overall_status = serializers.ChoiceField(choices=["valid", "warnings", "invalid"])


class ActionTimeSerializer(serializers.Serializer[Any]):
    action_id = serializers.CharField()
    name = serializers.CharField()
    at = serializers.DateTimeField()
    state = serializers.ChoiceField(choices=choices.ACTION_TIME_STATES)


class TimingSerializer(serializers.Serializer[Any]):
    """What would be planned when, seen from `at`."""

    at = serializers.DateTimeField()
    trigger = serializers.CharField()
    event_at = serializers.DateTimeField(help_text="When the event happens that it reacts to.")
    planned_for = serializers.DateTimeField(allow_null=True)
    state = serializers.ChoiceField(choices=choices.TIMING_STATES)
    reason = serializers.CharField()
    actions = ActionTimeSerializer(many=True)


class TrialProblemSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    message = serializers.CharField()
    suggestion = serializers.CharField()
    line = serializers.IntegerField(allow_null=True)
    severity = serializers.ChoiceField(choices=["error", "warning"])


class ActionTrialSerializer(serializers.Serializer[Any]):
    action_id = serializers.CharField()
    name = serializers.CharField()
    action_type = serializers.CharField()
    order = serializers.IntegerField()
    status = serializers.ChoiceField(choices=choices.TRIAL_STATUSES)
    conditions = serializers.ListField(child=serializers.DictField(), help_text="The trace of the evaluation.")
    rendered = serializers.DictField(help_text="What the templates became.")
    recipients = serializers.ListField(child=serializers.CharField())
    notes = serializers.ListField(child=serializers.CharField())
    problems = TrialProblemSerializer(many=True)
    fallbacks = serializers.ListField(
        child=serializers.CharField(), help_text="Variables that had no value, and for which their fallback stands."
    )
    duration_ms = serializers.FloatField()


class TrialSerializer(serializers.Serializer[Any]):
    """What would happen. Nothing was sent."""

    test_type = serializers.CharField()
    workflow_id = serializers.UUIDField()
    workflow_name = serializers.CharField()
    version = serializers.IntegerField(allow_null=True, help_text="Null: the draft.")
    booking_id = serializers.UUIDField(allow_null=True)
    passed = serializers.BooleanField(help_text="No action would fail.")
    sent = serializers.BooleanField(help_text="False: a test of this type sends nothing.")
    timing = TimingSerializer()
    remarks = serializers.ListField(
        child=serializers.CharField(), help_text="Why the workflow would not act on this booking."
    )
    actions = ActionTrialSerializer(many=True)
    context = serializers.DictField(help_text="What conditions and templates saw.")  # type: ignore[assignment]
    duration_ms = serializers.FloatField()


class BulkTestRequestSerializer(serializers.Serializer[Any]):
    """Many workflows, with one invented booking each or with many bookings that there are."""

    workflow_ids = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        default=list,
        max_length=MAX_WORKFLOWS,
        help_text="Empty: all active ones.",
    )
    test_type = ChoiceField(
        choices=[choice for choice in TestType.choices if choice[0] != TestType.LIVE_TEST], default=TestType.MOCK_DATA
    )
    booking_ids = serializers.ListField(
        child=serializers.UUIDField(), required=False, default=list, max_length=MAX_BOOKINGS
    )
    last_bookings = serializers.IntegerField(
        min_value=1,
        max_value=MAX_BOOKINGS,
        required=False,
        allow_null=True,
        default=None,
        help_text="For real_data: the newest bookings instead of `booking_ids`.",
    )
    draft = serializers.BooleanField(required=False, default=False, help_text="Try drafts, where there are any.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        real = attrs["test_type"] == TestType.REAL_DATA
        given = bool(attrs["booking_ids"]) + (attrs["last_bookings"] is not None)
        if real and given != 1:
            raise serializers.ValidationError({"booking_ids": "real_data needs either booking_ids or last_bookings."})
        if not real and given:
            raise serializers.ValidationError({"booking_ids": "Only real_data takes bookings; mock_data invents them."})
        return attrs


class BulkTestResultSerializer(serializers.Serializer[Any]):
    """One workflow with one booking."""

    position = serializers.IntegerField()
    workflow_id = serializers.UUIDField()
    workflow_name = serializers.CharField()
    booking_id = serializers.UUIDField(allow_null=True)
    passed = serializers.BooleanField()
    result = serializers.DictField(help_text="`timing`, `remarks`, and `actions` with their status and problems.")


class BulkTestSerializer(serializers.Serializer[Any]):
    """How far a bulk test is. A small one is answered at once, with no id and all of its results."""

    id = serializers.UUIDField(allow_null=True)
    test_type = serializers.CharField()
    status = serializers.ChoiceField(choices=ExecutionStatus.choices)
    total = serializers.IntegerField(help_text="Pairs of a workflow and a booking.")
    done = serializers.IntegerField()
    passed = serializers.IntegerField()
    failed = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    execution_id = serializers.UUIDField(allow_null=True)
    results = BulkTestResultSerializer(many=True, required=False, help_text="Where it was answered at once.")
