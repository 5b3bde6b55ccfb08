"""The demo's data is valid, made once, and never in production."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.forms.models import model_to_dict

from automation.errors import Conflict
from automation.models import Booking, BookingEvent, Trigger, User, Workflow
from automation.services import demo, workflow_checks

pytestmark = pytest.mark.django_db


def test_it_covers_every_trigger_with_workflows_that_are_valid() -> None:
    organizer = demo.make_data()

    workflows = Workflow.objects.filter(organizer=organizer)
    assert {workflow.trigger for workflow in workflows} == set(Trigger.values)
    for workflow in workflows:
        actions = [model_to_dict(action) for action in workflow.actions.all()]
        assert actions
        assert workflow_checks.check_actions(actions) == {}


def test_it_lets_the_organizer_sign_in() -> None:
    demo.make_data()

    user = User.objects.get(email="demo@example.com")
    assert user.check_password("demo-password")


def test_it_leaves_what_exists_alone() -> None:
    organizer = demo.make_data()
    organizer.workflows.filter(name="No-show").delete()
    organizer.workflows.filter(name="Cancellation").update(is_active=False)

    demo.make_data()

    assert not organizer.workflows.filter(name="No-show").exists()
    assert not organizer.workflows.get(name="Cancellation").is_active


def test_it_is_refused_in_production(settings: pytest.FixtureRequest) -> None:
    settings.PRODUCTION = True  # type: ignore[attr-defined]

    with pytest.raises(Conflict, match="PRODUCTION"):
        demo.make_data()
    with pytest.raises(CommandError, match="everybody knows the password"):
        call_command("seed_demo")
    assert not User.objects.exists()


def test_its_booking_lies_far_enough_ahead_for_the_reminder() -> None:
    demo.make_data()

    booking = demo.book()

    reminder = Workflow.objects.get(trigger=Trigger.BEFORE_MEETING)
    assert (booking.start_time - booking.created_at).total_seconds() > reminder.delay_minutes * 60
    event = BookingEvent.objects.get(booking=booking)
    assert (event.trigger, event.source) == (Trigger.BOOKING_CREATED, "demo")


def test_without_a_worker_it_says_what_it_waits_for() -> None:
    demo.make_data()
    output = io.StringIO()

    with pytest.raises(CommandError, match=r"waited 0\.2 s for a worker to take the booking's event"):
        call_command("run_demo", timeout=0.2, stdout=output)
    assert output.getvalue().startswith("Ada Lovelace books Discovery Call, ")


def test_without_data_it_says_how_to_make_it() -> None:
    with pytest.raises(CommandError, match=r"python manage\.py seed_demo"):
        call_command("run_demo")
    assert not Booking.objects.exists()
