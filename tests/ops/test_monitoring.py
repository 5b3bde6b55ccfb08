"""What monitoring tells, and what it keeps to itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from automation.models import Alert, EventType, ExecutionStatus, Workflow, WorkflowAction
from automation.services import monitoring, workflow_validation
from tests.ops.factories import make_runs, make_workflow

pytestmark = pytest.mark.django_db

FAILED = ExecutionStatus.FAILED
DAY = dt.timedelta(days=1)


def open_alerts() -> set[tuple[str, str]]:
    return set(Alert.objects.filter(closed_at=None).values_list("kind", "key"))


@pytest.mark.parametrize(
    ("good", "bad", "alerted"),
    [(0, 3, True), (0, 2, False), (1, 2, True), (2, 2, False), (3, 1, False), (9, 10, True)],
)
def test_it_tells_of_a_failure_rate_above_half_of_three_runs_or_more(good: int, bad: int, alerted: bool) -> None:
    workflow = make_workflow()
    make_runs(workflow, good)
    make_runs(workflow, bad, FAILED, activity="execute_update_booking_action")
    monitoring.monitor()
    assert open_alerts() == ({("failure_rate", str(workflow.id))} if alerted else set())


def test_it_closes_the_alert_when_the_problem_has_ended() -> None:
    workflow = make_workflow()
    runs = make_runs(workflow, 3, FAILED, activity="other")
    monitoring.monitor()
    monitoring.monitor()
    assert Alert.objects.count() == 1
    for run in runs:
        run.completed_at -= DAY
        run.save()
    monitoring.monitor()
    assert open_alerts() == set()


def test_what_somebody_cancelled_is_no_failure() -> None:
    workflow = make_workflow()
    for status in (ExecutionStatus.CANCELLED, ExecutionStatus.TERMINATED, ExecutionStatus.CONTINUED):
        make_runs(workflow, 5, status)
    assert monitoring.monitor() == []


def test_it_tells_of_runs_that_work_for_more_than_a_minute() -> None:
    slow, quick = make_workflow("Slow"), make_workflow("Quick")
    make_runs(slow, 3, work=61)
    make_runs(quick, 3, work=59)
    monitoring.monitor()
    assert open_alerts() == {("slow", str(slow.id))}
    assert "61 s" in Alert.objects.get().message


def test_a_run_that_waited_for_days_is_not_slow() -> None:
    workflow = make_workflow()
    for run in make_runs(workflow, 3):
        run.started_at -= 5 * DAY
        run.save()
    assert monitoring.monitor() == []


def test_it_tells_of_a_workflow_that_is_unlike_itself() -> None:
    usual, worse, slower = make_workflow("Usual"), make_workflow("Worse"), make_workflow("Slower")
    for workflow in (usual, worse, slower):
        make_runs(workflow, 20, age=5 * DAY, work=1)
    make_runs(usual, 8, work=1)
    make_runs(worse, 6, work=1)
    make_runs(worse, 4, FAILED, work=1, activity="other")
    make_runs(slower, 4, work=10)
    monitoring.monitor()
    assert open_alerts() == {("anomaly", str(worse.id)), ("anomaly", str(slower.id))}
    assert "40% of the runs of 'Worse' failed" in Alert.objects.get(key=str(worse.id)).message


def test_a_new_workflow_has_no_habits() -> None:
    workflow = make_workflow()
    make_runs(workflow, 19, age=5 * DAY, work=1)
    make_runs(workflow, 4, work=20)
    assert monitoring.monitor() == []


def test_it_tells_of_a_service_that_fails() -> None:
    healthy, broken = make_workflow("Healthy"), make_workflow("Broken")
    actions = {
        host: WorkflowAction.objects.create(
            workflow=broken, name=host, action_type="webhook", webhook_url=f"https://{host}/x"
        )
        for host in ("up.example.com", "down.example.com")
    }
    # One good mail in each workflow keeps their own rates low: it is the host that is reported.
    make_runs(healthy, 9)
    make_runs(broken, 5, activity="execute_webhook_action", action=actions["up.example.com"])
    make_runs(broken, 3, FAILED, activity="execute_webhook_action", action=actions["down.example.com"])
    monitoring.monitor()
    assert open_alerts() == {("service", "Webhook down.example.com")}


def make_valid_action(workflow: Workflow, **changes: Any) -> WorkflowAction:
    fields = {"name": "Mail", "action_type": "send_email", "subject": "Hi", "message": "Hello {{ invitee_name }}"}
    return WorkflowAction.objects.create(workflow=workflow, **{**fields, **changes})


def test_a_workflow_in_order_is_not_mentioned() -> None:
    make_valid_action(make_workflow())
    assert monitoring.validate_all() == []


def test_it_tells_what_is_wrong_with_a_configuration_until_it_is_mended() -> None:
    workflow = make_workflow()
    action = make_valid_action(workflow, message="Hello {{ invitee_name")
    monitoring.validate_all()
    alert = Alert.objects.get()
    assert (alert.kind, alert.workflow) == ("configuration", workflow)
    assert "Action 'Mail' at message" in alert.message

    action.message = "Hello"
    action.save()
    monitoring.validate_all()
    assert open_alerts() == set()


def test_it_tells_of_workflows_that_do_nothing() -> None:
    idle, deaf = make_workflow("Idle"), make_workflow("Deaf")
    make_workflow("Off", is_active=False)
    make_valid_action(deaf)
    event_type = EventType.objects.create(organizer=deaf.organizer, name="Gone", duration=30, is_active=False)
    deaf.event_types.add(event_type)
    monitoring.validate_all()
    messages = {alert.workflow_id: alert.message for alert in Alert.objects.all()}
    assert set(messages) == {idle.id, deaf.id}
    assert "no active action" in messages[idle.id]
    assert "None of its event types is active" in messages[deaf.id]


def test_it_finds_the_errors_that_the_endpoint_finds_and_says_what_would_be_right() -> None:
    workflow = make_workflow()
    make_valid_action(
        workflow,
        conditions=[{"operator": "AND", "rules": [{"field": "invitee_nam", "operator": "equals", "value": "x"}]}],
    )
    make_valid_action(workflow, name="Text", action_type="send_sms", recipient="custom")
    make_valid_action(workflow, name="Hook", action_type="webhook", webhook_url="ftp://x")
    [problem] = monitoring.validate_all()
    errors = workflow_validation.validate(workflow, runtime=False).errors
    assert len(errors) >= 3
    for issue in errors:
        assert issue.message.rstrip(".") in problem.message
        assert issue.suggestion.rstrip(".") in problem.message
    assert "Action 'Mail' at conditions[0].rules[0].field: " in problem.message
    assert "invitee_name" in problem.message, "a suggestion"


def test_what_may_be_meant_is_no_problem() -> None:
    make_valid_action(make_workflow(), message="Hello {{ invitee_nam }}")
    assert monitoring.validate_all() == []


def test_many_workflows_are_read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "VALIDATED_AT_ONCE", 2)
    for number in range(5):
        make_workflow(f"Idle {number}")
    assert len(monitoring.validate_all()) == 5


def test_it_tells_of_an_action_type_that_there_is_not() -> None:
    make_valid_action(make_workflow(), action_type="send_pigeon")
    monitoring.validate_all()
    assert "send_pigeon" in Alert.objects.get().message
