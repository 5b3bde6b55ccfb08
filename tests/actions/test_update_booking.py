"""Updates of the booking: checked, audited, once, and with their cause."""

from __future__ import annotations

from typing import Any

import pytest

from automation.actions.config import ActionConfig
from automation.actions.registry import registry
from automation.causes import Cause, caused_by, current_cause
from automation.durable.exceptions import ApplicationError
from automation.models import Booking, BookingAuditLog, BookingEvent, WorkflowExecution
from tests.actions.conftest import Stage


def update(**fields: Any) -> dict[str, Any]:
    return {"action_type": "update_booking", "update_booking_fields": fields}


def test_it_changes_and_audits(stage: Stage) -> None:
    execution = stage.execution(
        **update(
            meeting_link="https://meet.example/{{ booking_id }}",
            meeting_id="of {{ invitee_name }}",
            meeting_password="s3cret",
            custom_answers={"size": 13, "note": "for {{ invitee_name }}"},
        )
    )
    result = stage.run(execution)
    booking = Booking.objects.get()
    assert booking.meeting_link == f"https://meet.example/{booking.id}"
    assert booking.meeting_id == "of José Álvarez"
    assert booking.custom_answers == {"company": "Acme", "size": 13, "note": "for José Álvarez"}
    audit = BookingAuditLog.objects.get(execution=execution)
    assert (audit.step_seq, audit.actor, audit.action) == (1, "workflow:Flow 1", "updated")
    assert audit.old_values == {
        "meeting_link": "",
        "meeting_id": "",
        "meeting_password": "",
        "custom_answers": {"company": "Acme", "size": 12},
    }
    assert audit.new_values == {name: getattr(booking, name) for name in audit.old_values}
    assert result["rendered"]["new"] == audit.new_values


def test_a_second_attempt_changes_nothing(stage: Stage) -> None:
    execution = stage.execution(**update(meeting_id="{{ invitee_name }}"))
    stage.run(execution)
    Booking.objects.update(meeting_id="by hand", invitee_name="Zoë")
    result = stage.run(execution, attempt=2)
    assert Booking.objects.get().meeting_id == "by hand"
    assert result["rendered"]["new"] == {"meeting_id": "José Álvarez"}
    assert BookingAuditLog.objects.filter(execution=execution).count() == 1


def test_values_that_are_there_already_change_nothing(stage: Stage) -> None:
    execution = stage.execution(**update(status="confirmed"))
    assert "already" in stage.run(execution)["notes"][0]
    assert not BookingAuditLog.objects.filter(execution=execution).exists()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"meeting_link": "javascript:alert(1)"}, "valid URL"),
        ({"meeting_link": "{{ invitee_name }}"}, "valid URL"),
        ({"status": "done"}, "not a valid choice"),
        ({"meeting_id": "x" * 201}, "at most 200"),
        ({"meeting_id": None}, "must be text"),
        ({"meeting_id": ["x"]}, "must be text"),
        ({"custom_answers": ["x"]}, "object"),
        ({"custom_answers": {"x": "y" * 99_000, "z": "y" * 9_000}}, "bytes"),
        ({"invitee_email": "eve@example.com"}, "cannot be changed"),
        ({"access_token": "x"}, "cannot be changed"),
        ({"organizer": 7}, "cannot be changed"),
        ({}, "at least one"),
    ],
)
def test_a_field_that_does_not_fit_fails_the_action_and_changes_nothing(
    fields: dict[str, Any], word: str, stage: Stage
) -> None:
    before = Booking.objects.values().get()
    with pytest.raises(ApplicationError, match=word) as caught:
        stage.act(**update(**({**fields, "meeting_password": "good"} if fields else {})))
    assert caught.value.non_retryable
    assert Booking.objects.values().get() == before
    assert BookingAuditLog.objects.count() == 0


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"meeting_link": "javascript:alert(1)"}, "update_booking_fields.meeting_link"),
        ({"status": "done"}, "update_booking_fields.status"),
        ({"invitee_email": "x"}, "update_booking_fields.invitee_email"),
        ({"custom_answers": {"a": ["{% if %}"]}}, "update_booking_fields.custom_answers.a[0]"),
        ({"custom_answers": {"a\0b": "y"}}, "update_booking_fields.custom_answers"),
        ({}, "update_booking_fields"),
    ],
)
def test_validation_names_the_place(fields: dict[str, Any], path: str) -> None:
    problems = registry.get("update_booking").validate(ActionConfig(update_booking_fields=fields))
    assert path in {problem.path for problem in problems}


def test_a_template_is_checked_when_it_has_a_value() -> None:
    fields = {"status": "{{ booking_status }}", "meeting_link": "https://meet.example/{{ booking_id }}"}
    assert registry.get("update_booking").validate(ActionConfig(update_booking_fields=fields)) == []


def test_a_cancellation_names_the_workflow_and_is_an_event_with_its_cause(stage: Stage) -> None:
    execution = stage.execution(depth=2, **update(status="cancelled", cancellation_reason="No answer"))
    stage.run(execution)
    booking = Booking.objects.get()
    assert (booking.status, booking.cancelled_by) == ("cancelled", "workflow:Flow 1")
    event = BookingEvent.objects.get(trigger="booking_cancelled")
    assert (event.caused_by_id, event.depth, event.source) == (execution.id, 3, "workflow")


def test_what_somebody_else_changed_meanwhile_stays(stage: Stage) -> None:
    execution = stage.execution(**update(custom_answers={"note": "x"}))
    Booking.objects.update(custom_answers={"company": "Globex"}, meeting_id="by hand")
    stage.run(execution)
    booking = Booking.objects.get()
    assert booking.custom_answers == {"company": "Globex", "note": "x"}
    assert booking.meeting_id == "by hand"


def test_a_failure_after_the_change_undoes_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit entry, the change and its event are one transaction."""
    execution = stage.execution(**update(status="completed"))

    def fail(**_: Any) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(BookingAuditLog.objects, "create", fail)
    with pytest.raises(RuntimeError):
        stage.run(execution)
    assert Booking.objects.get().status == "confirmed"
    assert not BookingEvent.objects.filter(trigger="booking_completed").exists()


def test_causes_nest_and_end() -> None:
    assert current_cause() == Cause("code", None, None, 0)
    with caused_by("api"):
        with caused_by("workflow", depth=2) as cause:
            assert current_cause() is cause
        assert current_cause().source == "api"
    assert current_cause() == Cause()


def test_an_execution_that_is_gone_takes_nothing_along(stage: Stage) -> None:
    """The audit entry outlives the execution that it names."""
    execution = stage.execution(**update(meeting_id="x"))
    stage.run(execution)
    WorkflowExecution.objects.filter(id=execution.id).delete()
    assert BookingAuditLog.objects.get().new_values == {"meeting_id": "x"}
