"""A booking's timeline: what was sent, what is planned, and what a person can do about it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from automation import clock
from automation.durable import payloads
from automation.durable.testing import WorkflowEnvironment
from automation.models import (
    Booking,
    BookingAuditLog,
    BookingEvent,
    EventType,
    ExecutionStep,
    NotificationLog,
    NotificationPreference,
    NotificationStatus,
    User,
    Workflow,
    WorkflowExecution,
)
from automation.services import bookings, triggers, workflow_plans, workflows
from tests.api.conftest import NOBODY, booking_of, execution_of, problem_of

pytestmark = pytest.mark.django_db

MAIL = {"name": "Mail", "action_type": "send_email", "subject": "{{ event_type_name }}", "message": "Hello"}
MISSING = [{"operator": "AND", "rules": [{"field": "has_phone", "operator": "is_true"}]}]


def make(owner: User, *actions: dict[str, Any], **fields: Any) -> Workflow:
    defaults = {"name": "Reminder", "trigger": "before_meeting", "delay_minutes": 60, "actions": actions or [MAIL]}
    return workflows.create(owner, **{**defaults, **fields})


def process() -> None:
    triggers.process(list(BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)))


@pytest.fixture
def planned(owner: User, event_type: EventType) -> WorkflowExecution:
    """A reminder an hour before a meeting in three days."""
    make(owner)
    booking_of(event_type)
    process()
    return WorkflowExecution.objects.select_related("booking", "workflow").get()


def url(row: WorkflowExecution | Booking, control: str = "") -> str:
    if isinstance(row, Booking):
        return f"/api/v1/bookings/{row.pk}/timeline/"
    return f"/api/v1/bookings/{row.booking_id}/timeline/{row.pk}/{control}/"


def entries(api: APIClient, booking: Any, kind: str = "") -> list[dict[str, Any]]:
    response = api.get(url(booking))
    assert response.status_code == 200, response.content
    return [entry for entry in response.json()["entries"] if not kind or entry["kind"] == kind]


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


# --- What it shows ----------------------------------------------------------------------------------------------------


def test_it_shows_what_is_planned_and_what_that_would_come_to(
    api: APIClient, owner: User, event_type: EventType
) -> None:
    make(owner, MAIL, {**MAIL, "name": "Text them", "conditions": MISSING, "delay_minutes": 15, "order": 3})
    booking = booking_of(event_type)
    process()
    first, second = entries(api, booking, "planned")
    begins = booking.start_time - dt.timedelta(minutes=60)
    assert (moment(first["at"]), moment(second["at"])) == (begins, begins + dt.timedelta(minutes=15))
    assert (first["action"], first["status"], first["subject"]) == ("Mail", "runs", "Discovery Call")
    assert first["recipients"] == ["jose@enterprise.com"]
    assert first["controls"] == ["skip", "send_now", "move"]
    assert (second["action"], second["status"]) == ("Text them", "skipped_conditions")
    assert first["execution_id"] == second["execution_id"]


def test_it_shows_messages_changes_and_what_was_not_sent(api: APIClient, owner: User, event_type: EventType) -> None:
    workflow = make(owner, name="Late", delay_minutes=60 * 24 * 30)
    booking = bookings.create(
        event_type, invitee_name="José", invitee_email="jose@enterprise.com", actor="ada@example.com",
        start_time=clock.now() + dt.timedelta(days=3),
    )  # fmt: skip
    process()
    sent = execution_of(workflow, booking=booking)
    NotificationLog.objects.create(
        organizer=owner, execution=sent, step_seq=1, channel="email", recipient="jose@enterprise.com", subject="Hi",
        status=NotificationStatus.SENT, sent_at=clock.now(),
    )  # fmt: skip
    (message,) = entries(api, booking, "message")
    assert (message["status"], message["subject"], message["workflow_name"]) == ("sent", "Hi", "Late")
    (change,) = entries(api, booking, "change")
    assert (change["status"], change["actor"]) == ("created", "ada@example.com")
    (late,) = entries(api, booking, "not_sent")
    assert "had already passed" in late["reason"]
    times = [moment(entry["at"]) for entry in entries(api, booking)]
    assert times == sorted(times)


def test_it_shows_actions_that_wait_in_an_execution_that_has_begun(
    api: APIClient, owner: User, planned: WorkflowExecution
) -> None:
    assert planned.version is not None
    action = planned.version.snapshot["actions"][0]
    WorkflowExecution.objects.update(status="running", started_at=clock.now())
    at = clock.now() + dt.timedelta(hours=1)
    ExecutionStep.objects.create(
        execution=planned, seq=1, kind="activity", name="execute_email_action", status="pending", run_at=at,
        due=at, input=payloads.encode([{"action_id": action["id"]}]),
    )  # fmt: skip
    (entry,) = entries(api, planned.booking, "planned")
    assert (moment(entry["at"]), entry["action"], entry["has_begun"]) == (at, "Mail", True)
    assert (entry["action_id"], entry["controls"]) == (action["id"], ["skip", "send_now", "move"])
    WorkflowExecution.objects.update(paused_at=clock.now())
    (entry,) = entries(api, planned.booking, "planned")
    assert entry["controls"] == [], "it is to be resumed first"


# --- What can be done -------------------------------------------------------------------------------------------------


def test_it_skips(api: APIClient, planned: WorkflowExecution) -> None:
    response = api.post(url(planned, "skip"), {"reason": "I have called them."})
    assert response.status_code == 200, response.content
    kinds = [entry["kind"] for entry in response.json()["entries"]]
    assert "planned" not in kinds
    planned.refresh_from_db()
    assert (planned.status, planned.error_message) == (
        "cancelled", "Skipped by ada@example.com. I have called them.",
    )  # fmt: skip
    problem_of(api.post(url(planned, "skip")), 409, "conflict")
    # It stays skipped, whatever is planned anew for this time.
    assert planned.workflow_id is not None
    workflow_plans.mark([planned.workflow_id])
    workflow_plans.plan_workflow(planned.workflow_id)
    planned.refresh_from_db()
    assert planned.status == "cancelled"
    assert BookingAuditLog.objects.filter(action="message_skipped", execution=planned, actor="ada@example.com").exists()


def test_it_sends_now(api: APIClient, planned: WorkflowExecution) -> None:
    assert api.post(url(planned, "send-now")).status_code == 200
    planned.refresh_from_db()
    assert planned.status == "pending"
    assert planned.scheduled_for is not None
    assert planned.scheduled_for <= clock.now()
    assert planned.workflow_id is not None
    workflow_plans.mark([planned.workflow_id])
    workflow_plans.plan_workflow(planned.workflow_id)
    planned.refresh_from_db()
    assert planned.status == "pending"
    assert planned.scheduled_for <= clock.now()


def test_it_moves_and_the_time_stays(api: APIClient, owner: User, planned: WorkflowExecution) -> None:
    assert planned.booking is not None
    assert planned.workflow is not None
    at = planned.booking.start_time - dt.timedelta(minutes=10)
    (entry,) = [
        entry
        for entry in api.post(url(planned, "move"), {"at": at.isoformat()}).json()["entries"]
        if entry["kind"] == "planned"
    ]
    assert (moment(entry["at"]), entry["set_by_hand"]) == (at, True)
    # Neither an edit of the workflow nor another event of the booking takes it back.
    workflows.update(planned.workflow, delay_minutes=120)
    workflow_plans.plan_workflow(planned.workflow.pk)
    bookings.update(planned.booking.pk, invitee_name="Joe")
    process()
    planned.refresh_from_db()
    assert planned.scheduled_for == at
    assert planned.version is not None
    assert planned.version.number == 2
    # The meeting's own move does: another meeting, another time.
    start = planned.booking.start_time + dt.timedelta(days=1)
    bookings.reschedule(planned.booking.pk, start)
    process()
    planned.refresh_from_db()
    assert planned.scheduled_for == start - dt.timedelta(minutes=120)
    assert [entry["set_by_hand"] for entry in entries(api, planned.booking, "planned")] == [False]


def test_a_workflow_that_was_off_and_is_on_again_plans_anew(
    api: APIClient, owner: User, planned: WorkflowExecution
) -> None:
    assert planned.booking is not None
    assert planned.workflow is not None
    before = planned.scheduled_for
    at = planned.booking.start_time - dt.timedelta(minutes=10)
    api.post(url(planned, "move"), {"at": at.isoformat()})
    for is_active in (False, True):
        workflows.update(planned.workflow, is_active=is_active)
        workflow_plans.plan_workflow(planned.workflow.pk)
    planned.refresh_from_db()
    assert (planned.status, planned.scheduled_for, planned.fixed_sequence) == ("pending", before, None)


def test_a_time_set_by_hand_does_not_outlive_the_booking(api: APIClient, planned: WorkflowExecution) -> None:
    assert planned.booking is not None
    at = planned.booking.start_time - dt.timedelta(minutes=10)
    api.post(url(planned, "move"), {"at": at.isoformat()})
    bookings.cancel(planned.booking.pk)
    process()
    planned.refresh_from_db()
    assert planned.status == "cancelled"


def test_what_an_event_has_delayed_can_be_moved_too(api: APIClient, owner: User, event_type: EventType) -> None:
    workflow = make(owner, trigger="booking_created", delay_minutes=60)
    booking = booking_of(event_type)
    process()
    execution = WorkflowExecution.objects.get()
    at = booking.start_time + dt.timedelta(days=1)
    assert api.post(url(execution, "move"), {"at": at.isoformat()}).status_code == 200
    workflows.update(workflow, delay_minutes=30)
    workflow_plans.plan_workflow(workflow.pk)
    execution.refresh_from_db()
    assert execution.scheduled_for == at


@pytest.mark.parametrize(("minutes", "word"), [(0, "before the meeting"), (-60 * 24 * 30, "has passed"), (None, "")])
def test_it_moves_to_no_time_that_makes_no_sense(
    api: APIClient, planned: WorkflowExecution, minutes: int | None, word: str
) -> None:
    assert planned.booking is not None
    body = {}
    if minutes is not None:
        body = {"at": (planned.booking.start_time + dt.timedelta(minutes=minutes)).isoformat()}
    error = problem_of(api.post(url(planned, "move"), body), 400, "invalid")
    assert word in error["fields"]["at"][0]
    planned.refresh_from_db()
    assert planned.fixed_sequence is None


@pytest.mark.parametrize("control", ["skip", "send-now", "move"])
def test_what_has_begun_is_left(api: APIClient, planned: WorkflowExecution, control: str) -> None:
    WorkflowExecution.objects.update(status="running", started_at=clock.now())
    assert planned.booking is not None
    at = (planned.booking.start_time - dt.timedelta(minutes=5)).isoformat()
    problem_of(api.post(url(planned, control), {"at": at}), 409, "conflict")
    planned.refresh_from_db()
    assert planned.status == "running"


# --- In an execution that has begun -----------------------------------------------------------------------------------


@pytest.fixture
def env(settings: Any) -> Iterator[WorkflowEnvironment]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    with WorkflowEnvironment.start_time_skipping() as one:
        yield one


class Begun:
    """A booking whose first mail has gone out, whose second and third wait for two hours, and whose last follows."""

    def __init__(self, api: APIClient, env: WorkflowEnvironment, owner: User, event_type: EventType) -> None:
        later = {"order": 2, "delay_minutes": 120}
        actions = [
            {**MAIL, "name": "First", "subject": "First", "order": 1},
            {**MAIL, "name": "Second", "subject": "Second", **later},
            {**MAIL, "name": "Third", "subject": "Third", **later},
            {**MAIL, "name": "Last", "subject": "Last", "order": 3},
        ]
        self.api, self.env = api, env
        self.workflow = make(owner, *actions, trigger="booking_created", delay_minutes=0)
        self.booking = booking_of(event_type)
        process()
        env.settle()
        self.row = WorkflowExecution.objects.get()

    def subjects(self) -> list[str]:
        return [letter.subject for letter in mail.outbox]

    def planned(self) -> dict[str, dict[str, Any]]:
        return {entry["action"]: entry for entry in entries(self.api, self.booking, "planned")}

    def waiting(self) -> dict[str, dict[str, Any]]:
        """Those about which something can be done."""
        return {name: entry for name, entry in self.planned().items() if entry["controls"]}

    def ask(self, control: str, name: str = "", **body: Any) -> Any:
        if name:
            body["action_id"] = self.planned()[name]["action_id"]
        return self.api.post(url(self.row, control), body)


@pytest.fixture
def begun(api: APIClient, env: WorkflowEnvironment, owner: User, event_type: EventType) -> Begun:
    return Begun(api, env, owner, event_type)


def test_one_action_that_waits_is_sent_now(begun: Begun) -> None:
    assert begun.subjects() == ["First"]
    (message,) = entries(begun.api, begun.booking, "message")
    assert (message["action"], message["action_type"]) == ("First", "send_email")
    assert message["action_id"]
    assert set(begun.waiting()) == {"Second", "Third"}
    assert begun.ask("send-now", "Third").status_code == 200
    begun.env.settle()
    assert begun.subjects() == ["First", "Third"]
    begun.env.skip(dt.timedelta(hours=3))
    assert begun.subjects() == ["First", "Third", "Second", "Last"]
    entry = BookingAuditLog.objects.get(action="message_sent_now")
    assert (entry.actor, entry.new_values["action"]) == ("ada@example.com", "Third")


def test_what_has_not_had_its_turn_is_shown_with_the_earliest_time(begun: Begun) -> None:
    found = begun.planned()
    assert list(found)[2:] == ["Last"]
    second, third, last = found["Second"], found["Third"], found["Last"]
    assert (second["after"], second["controls_note"], second["has_begun"]) == ([], "", True)
    assert sorted(last["after"]) == ["Second", "Third"]
    assert moment(last["at"]) == max(moment(second["at"]), moment(third["at"])), "it waits for nothing else"
    assert (last["controls"], last["has_begun"], last["status"]) == ([], True, "runs")
    names = " and ".join(repr(name) for name in last["after"])
    assert last["controls_note"].startswith(f"Its turn comes after {names}; then it runs.")
    # The time that one of those is moved to is what it waits for.
    at = clock.now() + dt.timedelta(hours=10)
    assert begun.ask("move", "Second", at=at.isoformat()).status_code == 200
    assert moment(begun.planned()["Last"]["at"]) == at
    begun.env.skip(dt.timedelta(hours=3))
    assert begun.planned()["Last"]["after"] == ["Second"]
    begun.env.skip(dt.timedelta(hours=10))
    assert begun.planned() == {}
    assert begun.subjects() == ["First", "Third", "Second", "Last"]


def test_what_has_not_had_its_turn_is_left_with_a_word_why(begun: Begun) -> None:
    at = (clock.now() + dt.timedelta(hours=1)).isoformat()
    for control in ("skip", "send-now", "move"):
        error = problem_of(begun.ask(control, "Last", at=at), 409, "conflict")
        assert "The turn of 'Last' has not come" in error["message"]
        answer = begun.api.post(url(begun.row, control), {"action_id": NOBODY, "at": at})
        assert "it has" in problem_of(answer, 400, "invalid")["fields"]["action_id"][0]
    assert not BookingAuditLog.objects.filter(execution=begun.row).exists()


def test_delays_add_up(api: APIClient, env: WorkflowEnvironment, owner: User, event_type: EventType) -> None:
    delays = {"First": 30, "Second": 0, "Third": 45}
    steps = [
        {**MAIL, "name": name, "order": order, "delay_minutes": minutes}
        for order, (name, minutes) in enumerate(delays.items())
    ]
    make(owner, *steps, trigger="booking_created", delay_minutes=0)
    booking = booking_of(event_type)
    process()
    (one, two, three) = entries(api, booking, "planned")
    assert [entry["after"] for entry in (one, two, three)] == [[], ["First"], ["Second"]]
    assert not one["has_begun"]
    env.settle()
    first, second, third = entries(api, booking, "planned")
    assert [entry["action"] for entry in (first, second, third)] == list(delays)
    assert (first["has_begun"], first["controls"]) == (True, ["skip", "send_now", "move"])
    assert moment(second["at"]) == moment(first["at"])
    assert moment(third["at"]) == moment(first["at"]) + dt.timedelta(minutes=45)
    assert "then it waits 45 min, and can be skipped" in third["controls_note"]
    WorkflowExecution.objects.update(paused_at=clock.now())
    paused = entries(api, booking, "planned")[0]
    assert (paused["controls"], paused["controls_note"]) == ([], "The execution is paused: resume it first.")


def test_what_nobody_has_taken_yet_is_about_to_run(api: APIClient, planned: WorkflowExecution) -> None:
    WorkflowExecution.objects.update(status="running", started_at=clock.now())
    (entry,) = entries(api, planned.booking, "planned")
    assert (entry["action"], entry["controls"], entry["controls_note"]) == ("Mail", [], "It is about to run.")


def test_all_that_wait_are_skipped_and_what_follows_goes_on(begun: Begun) -> None:
    response = begun.ask("skip", reason="I have called them.")
    assert response.status_code == 200, response.content
    (last,) = begun.planned().values()
    assert (last["action"], last["after"], last["controls_note"]) == ("Last", [], "It is about to run.")
    begun.env.settle()
    assert begun.subjects() == ["First", "Last"]
    found = begun.api.get(f"/api/v1/executions/{begun.row.pk}/").json()
    assert found["status"] == "completed"
    second = next(one for one in found["execution_log"] if one["action"] == "Second")
    assert second["status"] == "skipped"
    assert BookingAuditLog.objects.filter(action="message_skipped", execution=begun.row).count() == 2
    explained = begun.api.get(f"/api/v1/bookings/{begun.booking.pk}/explain/").json()
    assert "Skipped by ada@example.com. I have called them." in json.dumps(explained)


def test_one_is_moved_and_comes_then(begun: Begun) -> None:
    at = clock.now() + dt.timedelta(hours=10)
    assert begun.ask("move", "Second", at=at.isoformat()).status_code == 200
    assert moment(begun.waiting()["Second"]["at"]) == at
    begun.env.skip(dt.timedelta(hours=9))
    assert begun.subjects() == ["First", "Third"]
    begun.env.skip(dt.timedelta(hours=2))
    assert begun.subjects() == ["First", "Third", "Second", "Last"]


def test_quiet_hours_hold_for_what_is_sent_now(begun: Begun, owner: User) -> None:
    start = clock.now() - dt.timedelta(hours=1)
    NotificationPreference.objects.create(
        organizer=owner, recipient="jose@enterprise.com", timezone="UTC",
        quiet_from=start.time(), quiet_until=(start + dt.timedelta(hours=5)).time(),
    )  # fmt: skip
    begun.ask("send-now", "Second")
    begun.env.settle()
    assert begun.subjects() == ["First"]
    begun.ask("skip", "Second")
    assert NotificationLog.objects.get(subject="Second").status == NotificationStatus.SUPPRESSED


def test_what_has_run_cannot_be_taken_back(begun: Begun) -> None:
    second = begun.waiting()["Second"]["action_id"]
    begun.env.skip(dt.timedelta(hours=3))
    for control in ("skip", "send-now", "move"):
        at = (clock.now() + dt.timedelta(hours=1)).isoformat()
        for body in ({}, {"action_id": second}):
            error = problem_of(begun.api.post(url(begun.row, control), {**body, "at": at}), 409, "conflict")
            assert "runs, or has ended" in error["message"]


def test_before_a_meeting_it_moves_to_no_time_after_its_start(
    api: APIClient, env: WorkflowEnvironment, owner: User, event_type: EventType
) -> None:
    make(owner, {**MAIL, "name": "First"}, {**MAIL, "name": "Second", "order": 2, "delay_minutes": 30})
    booking = booking_of(event_type)
    process()
    env.skip_to(booking.start_time - dt.timedelta(minutes=50))
    row = WorkflowExecution.objects.get()
    late = (booking.start_time + dt.timedelta(minutes=1)).isoformat()
    error = problem_of(api.post(url(row, "move"), {"at": late}), 400, "invalid")
    assert "before the meeting" in error["fields"]["at"][0]
    assert api.post(url(row, "move"), {"at": booking.start_time.isoformat()}).status_code == 400
    soon = (booking.start_time - dt.timedelta(minutes=5)).isoformat()
    assert api.post(url(row, "move"), {"at": soon}).status_code == 200


def test_one_action_of_what_has_not_begun_is_not_moved_alone(api: APIClient, planned: WorkflowExecution) -> None:
    assert planned.version is not None
    action = planned.version.snapshot["actions"][0]["id"]
    for control in ("skip", "send-now", "move"):
        body = {"action_id": action, "at": (clock.now() + dt.timedelta(hours=1)).isoformat()}
        error = problem_of(api.post(url(planned, control), body), 400, "invalid")
        assert "has not begun" in error["fields"]["action_id"][0]


# --- Whose ------------------------------------------------------------------------------------------------------------


def test_it_hides_other_peoples(
    stranger: APIClient, anonymous: APIClient, operator: APIClient, planned: WorkflowExecution
) -> None:
    assert planned.booking is not None
    for client, status in ((stranger, 404), (anonymous, 401)):
        problem_of(client.get(url(planned.booking)), status)
        for control in ("skip", "send-now", "move"):
            problem_of(client.post(url(planned, control), {"at": "2100-01-01T00:00:00Z"}), status)
    assert operator.get(url(planned.booking)).status_code == 200
    planned.refresh_from_db()
    assert planned.status == "pending"


def test_it_takes_no_execution_of_another_booking(api: APIClient, owner: User, planned: WorkflowExecution) -> None:
    other = booking_of(EventType.objects.create(organizer=owner, name="Other", duration=30))
    problem_of(api.post(f"{url(other)}{planned.pk}/skip/"), 404)
    problem_of(api.post(f"{url(other)}{NOBODY}/skip/"), 404)


def test_it_takes_no_more_queries_for_more(api: APIClient, owner: User, event_type: EventType) -> None:
    counts = []
    for count in (2, 10):
        for number in range(count):
            make(owner, MAIL, {**MAIL, "name": "Later", "order": 2}, name=f"W{count}-{number}", delay_minutes=number)
        booking = booking_of(event_type)
        process()
        for execution in WorkflowExecution.objects.filter(booking=booking):
            NotificationLog.objects.create(execution=execution, channel="email", recipient="x@example.com")
        begun = WorkflowExecution.objects.filter(booking=booking).order_by("pk")[: count // 2]
        WorkflowExecution.objects.filter(pk__in=[row.pk for row in begun]).update(
            status="running", started_at=clock.now()
        )
        with CaptureQueriesContext(connection) as queries:
            found = entries(api, booking, "planned")
        assert {entry["has_begun"] for entry in found} == {True, False}
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8
