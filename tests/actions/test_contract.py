"""What holds for every action type, and what a new one takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from automation import activities, secrets
from automation.actions.base import ActionProblem, ActionType, Preview, TemplateCheck
from automation.actions.config import ActionConfig
from automation.actions.invocation import Invocation
from automation.actions.registry import DuplicateActionType, Registry, UnknownActionType, registry
from automation.actions.report import Report
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ApplicationError
from automation.durable.registry import activity_definition
from automation.models import BookingAuditLog, NotificationLog, WorkflowExecution, WorkflowVersion
from automation.rules.fields import sample_context
from tests.actions.conftest import Change, Stage

NAMES = {
    "send_email": "execute_email_action",
    "send_sms": "execute_sms_action",
    "webhook": "execute_webhook_action",
    "update_booking": "execute_update_booking_action",
    "run_workflow": "execute_run_workflow_action",
    "slack_message": "execute_slack_action",
}
SLACK = "https://hooks.slack.example/services/T/B/x"
GOOD: dict[str, dict[str, Any]] = {
    "send_email": {"subject": "Hello {{ invitee_name }}", "message": "See you, {{ invitee_name }}"},
    "send_sms": {"message": "See you, {{ invitee_name }}"},
    "webhook": {"webhook_url": "https://hooks.example.com/x", "webhook_data": {"who": "{{ invitee_name }}"}},
    "update_booking": {"update_booking_fields": {"meeting_id": "room of {{ invitee_name }}"}},
    "run_workflow": {"config": {"workflow": "flows_order", "input": {"url": "for {{ invitee_name }}"}}},
    "slack_message": {"message": "{{ invitee_name }}", "webhook_secret_encrypted": secrets.encrypt(SLACK)},
}
BROKEN: dict[str, dict[str, Any]] = {
    "send_email": {"message": "{{ 1 // 0 }}"},
    "send_sms": {"message": "{{ 1 // 0 }}"},
    "webhook": {"webhook_url": "https://hooks.example.com/x", "webhook_data": {"a": [{"b": "{{ 1 // 0 }}"}]}},
    "update_booking": {"update_booking_fields": {"custom_answers": {"a": "{{ 1 // 0 }}"}}},
    "run_workflow": {"config": {"workflow": "flows_order", "input": {"url": "{{ 1 // 0 }}"}}},
    "slack_message": {"message": "{{ 1 // 0 }}", "webhook_secret_encrypted": secrets.encrypt(SLACK)},
}


def test_the_types_and_their_activities() -> None:
    assert {kind.name: kind.activity for kind in registry.types()}.items() >= NAMES.items()
    defined = {
        definition.name: definition for definition in map(activity_definition, activities.ACTIVITIES) if definition
    }
    assert set(defined) >= set(NAMES.values())
    assert {name for name, definition in defined.items() if definition.transactional} == {
        "execute_update_booking_action",
        "execute_run_workflow_action",
    }


class Fax(ActionType):
    """The whole of a new type."""

    name = "send_fax"
    label = "Send fax"
    description = "Faxes the organizer."
    activity = "execute_fax_action"
    retry_policy = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3)
    timeout = timedelta(seconds=5)
    fields = ()

    def act(self, invocation: Invocation, report: Report) -> dict[str, Any]:
        report.rendered["fax"] = invocation.booking.invitee_name
        return report.result()

    def check(self, config: ActionConfig, templates: TemplateCheck) -> list[ActionProblem]:
        return templates("message", config.message)

    def show(self, context: Mapping[str, Any], config: ActionConfig, preview: Preview) -> None:
        preview.rendered["fax"] = context["invitee_name"]


def test_a_new_type_is_one_class_and_one_registration(stage: Stage) -> None:
    extended = Registry()
    extended.register(Fax)

    [fax] = extended.types()
    assert extended.get("send_fax") is fax
    assert extended.of_activity("execute_fax_action") is fax
    assert json.dumps(fax.describe())
    assert fax.validate(ActionConfig(message="{% if %}"))
    [run] = activities.activities_of(extended.types())
    definition = activity_definition(run)
    assert definition is not None
    assert definition.name == "execute_fax_action"
    result = fax.run(stage.invocation(stage.execution(action_type="send_fax")))
    assert result["rendered"] == {"fax": "José Álvarez"}


def test_a_name_or_an_activity_registered_twice_names_both_places() -> None:
    class Other(Fax):
        activity = "another"

    class Another(Fax):
        name = "another"

    extended = Registry()
    extended.register(Fax)
    extended.register(Fax)  # the same class again is no second one
    for cls in (Other, Another):
        with pytest.raises(DuplicateActionType, match=r"send_fax.*|execute_fax_action.*") as caught:
            extended.register(cls)
        assert "test_contract.Fax" in str(caught.value)
        assert cls.__qualname__ in str(caught.value)


def test_an_unknown_type_lists_those_there_are() -> None:
    with pytest.raises(UnknownActionType, match=r"'send_pigeon'; expected one of send_email, send_sms, webhook"):
        registry.get("send_pigeon")


@pytest.mark.parametrize("name", NAMES)
def test_descriptions_are_json(name: str) -> None:
    described = registry.get(name).describe()
    assert json.loads(json.dumps(described))["name"] == name
    assert described["retry"]["attempts"] > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_preview_renders_and_changes_nothing(name: str, stage: Stage, mailoutbox: list[Any], sms: list[Any]) -> None:
    config = ActionConfig(action_type=name, name="Act", **GOOD[name])
    preview = registry.get(name).preview(sample_context(), config)
    assert [problem for problem in preview.problems if problem.severity == "error"] == []
    assert "José Álvarez" in json.dumps(preview.as_dict(), ensure_ascii=False)
    assert (mailoutbox, sms, NotificationLog.objects.count(), BookingAuditLog.objects.count()) == ([], [], 0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_preview_shows_where_a_fallback_was_used(name: str) -> None:
    preview = registry.get(name).preview({}, ActionConfig(action_type=name, name="Act", **GOOD[name]))
    assert preview.fallbacks == ["invitee_name"]
    assert "Guest" in json.dumps(preview.rendered)


@pytest.mark.parametrize("name", NAMES)
def test_a_preview_of_nonsense_is_a_problem_and_no_error(name: str) -> None:
    kind = registry.get(name)
    assert kind.preview(sample_context(), ActionConfig(**BROKEN[name])).problems
    nonsense = {"message": 7, "subject": [], "webhook_data": "x", "update_booking_fields": [], "conditions": "x"}
    assert kind.preview(sample_context(), ActionConfig.from_mapping(nonsense)).problems
    assert kind.validate(ActionConfig())


@pytest.mark.parametrize("name", NAMES)
def test_conditions_decide_and_leave_their_trace(name: str, stage: Stage) -> None:
    rule = {"field": "invitee_name", "operator": "equals", "value": "Nobody"}
    result = stage.act(action_type=name, conditions=[{"operator": "AND", "rules": [rule]}], **GOOD[name])
    assert result["status"] == "skipped_conditions"
    assert result["conditions"][0]["rules"][0]["actual"] == "José Álvarez"
    assert NotificationLog.objects.count() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_template_that_fails_fails_its_action_clearly(name: str, stage: Stage) -> None:
    with pytest.raises(ApplicationError) as caught:
        stage.act(action_type=name, **BROKEN[name])
    assert caught.value.type == "TemplateError"
    assert caught.value.non_retryable
    assert caught.value.details[0]["status"] == "failed"
    assert NotificationLog.objects.count() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_template_bomb_fails_its_action(name: str, stage: Stage) -> None:
    bomb = "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}"
    text = json.dumps(GOOD[name]).replace("{{ invitee_name }}", bomb)
    with pytest.raises(ApplicationError, match=r"TemplateError|larger|at most|took|items"):
        stage.act(action_type=name, **json.loads(text))


TRIGGERS = ("booking_created", "booking_completed", "booking_no_show", "before_meeting", "after_meeting")


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("status", ["cancelled", "rescheduled"])
def test_what_was_planned_for_a_meeting_that_is_off_is_skipped(
    trigger: str, status: str, stage: Stage, change: Change, mailoutbox: list[Any]
) -> None:
    execution = stage.execution(trigger, action_type="send_email", message="Hello")
    change(status=status)
    result = stage.run(execution)
    assert result["status"] == "skipped"
    assert "since this was planned" in result["notes"][0]
    assert mailoutbox == []


@pytest.mark.parametrize(
    ("trigger", "status", "runs"),
    [
        ("booking_cancelled", "cancelled", True),
        ("booking_cancelled", "rescheduled", True),
        ("booking_rescheduled", "rescheduled", True),
        ("booking_rescheduled", "confirmed", True),
        ("booking_rescheduled", "cancelled", False),
        ("booking_no_show", "no_show", True),
        ("after_meeting", "completed", True),
        ("after_meeting", "no_show", True),
    ],
)
def test_what_the_change_itself_triggered_runs(
    trigger: str, status: str, runs: bool, stage: Stage, change: Change, mailoutbox: list[Any]
) -> None:
    execution = stage.execution(trigger, action_type="send_email", message="Hello")
    change(status=status)
    assert (stage.run(execution)["status"] == "success") is runs
    assert len(mailoutbox) == int(runs)


@pytest.mark.parametrize(
    ("trigger", "status"), [("before_meeting", "skipped"), ("after_meeting", "skipped"), ("booking_created", "success")]
)
def test_what_was_planned_around_the_old_time_is_not_sent_for_the_new_one(
    trigger: str, status: str, stage: Stage, change: Change, mailoutbox: list[Any]
) -> None:
    execution = stage.execution(trigger, action_type="send_email", message="Hello")
    change(sequence=stage.booking.sequence + 1)
    assert stage.run(execution)["status"] == status


def test_the_booking_is_read_at_fire_time(stage: Stage, change: Change, mailoutbox: list[Any]) -> None:
    execution = stage.execution(action_type="send_email", message="Hello {{ invitee_name }}")
    change(invitee_name="Zoë", invitee_email="zoe@enterprise.example")
    stage.run(execution)
    assert mailoutbox[0].to == ["zoe@enterprise.example"]
    assert mailoutbox[0].body == "Hello Zoë"


def test_an_action_is_that_of_its_version(stage: Stage, mailoutbox: list[Any]) -> None:
    execution = stage.execution(action_type="send_email", message="first")
    assert execution.workflow is not None
    execution.workflow.actions.update(message="second")
    stage.run(execution)
    assert mailoutbox[0].body == "first"


def test_a_second_action_of_a_version_costs_one_query(stage: Stage, django_assert_num_queries: Any) -> None:
    execution = stage.execution(action_type="send_email", message="Hello")
    with django_assert_num_queries(2):
        stage.invocation(execution)
    with django_assert_num_queries(1):
        stage.invocation(execution)


@pytest.mark.parametrize("missing", ["booking", "version"])
def test_an_execution_without_what_actions_need_says_so(missing: str, stage: Stage) -> None:
    execution = stage.execution(action_type="send_email", message="Hello")
    invocation_of = stage.invocation
    WorkflowExecution.objects.filter(id=execution.id).update(**{missing: None})
    with pytest.raises(ApplicationError, match=missing) as caught:
        invocation_of(execution)
    assert caught.value.non_retryable


@pytest.mark.parametrize(("own", "status"), [(True, "success"), (False, "skipped")])
def test_a_booking_of_another_event_type_gets_nothing_of_a_workflow_that_is_not_for_it(
    own: bool, status: str, stage: Stage, mailoutbox: list[Any]
) -> None:
    execution = stage.execution(action_type="send_email", message="Hello")
    assert execution.version is not None
    event_type = str(stage.booking.event_type_id) if own else "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10"
    snapshot = {**execution.version.snapshot, "event_types": [event_type]}
    WorkflowVersion.objects.filter(pk=execution.version_id).update(snapshot=snapshot)
    assert stage.run(execution)["status"] == status
    assert len(mailoutbox) == int(own)
