"""The statistics of workflows and actions, and what an execution's log says of each action, field by field."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from automation import clock
from automation.models import ExecutionStatus, Trigger, Workflow, WorkflowAction, WorkflowExecution
from automation.services.executions import execution_log
from project.celery import app
from tests.automation.factories import make_action, make_booking, make_workflow
from tests.support.receiver import HttpReceiver, Reply

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("total", "successful", "rate"), [(0, 0, 0), (3, 1, 33.33), (3, 2, 66.67), (3, 3, 100), (7, 0, 0), (10**9, 1, 0)]
)
@pytest.mark.parametrize("model", [Workflow, WorkflowAction])
def test_the_success_rate_has_two_decimals(
    model: type[Workflow] | type[WorkflowAction], total: int, successful: int, rate: float
) -> None:
    row = model(total_executions=total, successful_executions=successful)
    assert row.get_success_rate() == rate


def test_counting_is_one_statement_and_loses_nothing(django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    workflow = make_workflow(Trigger.BOOKING_CREATED)
    before = clock.now()
    for row in (workflow, workflow.actions.get()):
        stale = type(row).objects.get(pk=row.pk)
        with django_assert_num_queries(2):  # one writes, one reads it back
            row.increment_execution_stats(True)
        stale.increment_execution_stats(False)  # a copy that has not seen the first
        stale.increment_execution_stats(success=True, count=3)
        row.refresh_from_db()
        assert (row.total_executions, row.successful_executions, row.failed_executions) == (5, 4, 1)
        assert (stale.total_executions, stale.get_success_rate()) == (5, 80.0)
        assert row.last_executed_at is not None
        assert row.last_executed_at >= before
    assert Workflow.objects.get().plan_due == workflow.plan_due  # counting is no edit


@pytest.fixture
def inline() -> Iterator[None]:
    """Messages are carried out where they are sent, at once."""
    import tasks.registry  # noqa: F401

    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.mark.django_db(transaction=True)
def test_the_log_has_every_field_for_what_succeeded_and_for_what_failed(
    inline: None, http_receiver: HttpReceiver
) -> None:
    http_receiver.on("/hook", Reply(200, body=b"thanks"), Reply(404, body=b"nobody here"))
    workflow = make_workflow(Trigger.BOOKING_CREATED, actions=0)
    conditions = [{"operator": "AND", "rules": [{"field": "attendee_count", "operator": "equals", "value": 1}]}]
    for order, name in enumerate(("Answered", "Refused")):
        data = {"who": "{{ invitee_name }}"}
        hook = {"action_type": "webhook", "webhook_url": http_receiver.url(), "webhook_data": data}
        make_action(workflow, name=name, order=order, subject="", message="", conditions=conditions, **hook)
    make_booking()
    execution = WorkflowExecution.objects.get()
    assert execution.status == ExecutionStatus.FAILED
    assert (execution.actions_executed, execution.actions_failed) == (1, 1)
    answered, refused = execution_log(execution)
    for entry, name, status in ((answered, "Answered", "success"), (refused, "Refused", "failed")):
        assert (entry["action"], entry["action_type"], entry["status"]) == (name, "webhook", status)
        (group,) = entry["conditions"]
        assert group["rules"] == [
            {"field": "attendee_count", "operator": "equals", "expected": 1, "actual": 1, "result": True}
        ]
        assert entry["rendered"]["body"]["who"] == "Ina Vitee"
        assert entry["attempts"] == 1
        started, completed = (dt.datetime.fromisoformat(entry[key]) for key in ("started_at", "completed_at"))
        assert execution.created_at <= started <= completed
        assert entry["duration_ms"] >= 0
    assert (answered["response"]["status"], answered["response"]["body"], answered["error"]) == (200, "thanks", "")
    assert (refused["response"]["status"], refused["response"]["body"]) == (404, "nobody here")
    assert "404" in refused["error"]
