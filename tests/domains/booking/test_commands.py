"""`trigger_booking_workflows`, as an operator runs it."""

from __future__ import annotations

import datetime as dt
import io
import uuid

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from automation import clock
from automation.durable.testing import EnvironmentHandle, WorkflowEnvironment
from automation.durable.testing.fixtures import workflow_environment  # noqa: F401
from automation.models import WorkflowExecution
from tests.domains.booking import factories as make


@pytest.fixture
def env(workflow_environment: WorkflowEnvironment) -> WorkflowEnvironment:  # noqa: F811
    return workflow_environment


def trigger(env: WorkflowEnvironment, *words: object) -> EnvironmentHandle:
    """What the command started."""
    out = io.StringIO()
    call_command("trigger_booking_workflows", *map(str, words), stdout=out)
    handle = env.handle(uuid.UUID(out.getvalue().split()[2]))
    env.settle()
    return handle


def test_every_word_starts_its_workflow(env: WorkflowEnvironment) -> None:
    booking = make.session(30)
    assert trigger(env, "created", booking.pk).result()["status"] == "processed"
    assert trigger(env, "batch-reminders", "--hours", "48").result()["sent"] == 1
    reminders = trigger(env, "reminders", booking.pk, "--offsets", "120", "60")
    lifecycle, session = trigger(env, "lifecycle", booking.pk), trigger(env, "session", booking.pk)
    moved = clock.now() + dt.timedelta(hours=40)
    assert trigger(env, "reschedule", booking.pk, "--new-start", moved.isoformat()).result()["status"] == "rescheduled"
    assert lifecycle.result()["status"] == session.result()["status"] == "rescheduled"
    assert reminders.result()["sent"] == []
    assert trigger(env, "no-show", make.session(-1).pk).result()["status"] == "no_show"


def test_there_is_one_lifecycle_of_a_booking(env: WorkflowEnvironment) -> None:
    booking = make.session(72)
    trigger(env, "lifecycle", booking.pk)
    with pytest.raises(CommandError, match=f"booking-lifecycle-{booking.pk}"):
        call_command("trigger_booking_workflows", "lifecycle", str(booking.pk))


@pytest.mark.parametrize("given", ["123", "0197f3c2-8a51-7c04-9d1e-3b5a7c9e1f20"])
def test_a_booking_that_there_is_not_is_refused_and_the_newest_are_named(db: None, given: str) -> None:
    booking = make.session(72)
    with pytest.raises(CommandError, match=f"there is no booking '{given}'; the newest are {booking.pk}"):
        call_command("trigger_booking_workflows", "lifecycle", given)
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--new-start", "tomorrow"], "expected a date and time such as"),
        (["--new-start", "2027-03-01T09:30:00"], "add a time zone"),
        ([], "--new-start"),
    ],
)
def test_a_time_that_is_none_is_refused(db: None, words: list[str], wrong: str) -> None:
    booking = make.session(72)
    with pytest.raises(CommandError, match=wrong):
        call_command("trigger_booking_workflows", "reschedule", str(booking.pk), *words)
