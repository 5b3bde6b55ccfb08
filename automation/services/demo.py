"""The demo: an organizer with event types and a workflow for each trigger, and one booking to see them work.

make_data()                      # once; leaves what exists alone
booking = book()
for line in follow(booking): print(line)
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction

from automation import clock
from automation.causes import caused_by
from automation.durable import payloads
from automation.errors import Conflict
from automation.models import (
    Booking,
    BookingEvent,
    EventType,
    ExecutionStatus,
    ExecutionStep,
    StepStatus,
    User,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
)
from automation.services.demo_data import EVENT_TYPES, WORKFLOWS

EMAIL = "demo@example.com"
PASSWORD = "demo-password"  # noqa: S105 (told to everybody, and refused in production)
INVITEE = {
    "invitee_name": "Ada Lovelace",
    "invitee_email": "ada@example.com",
    "invitee_phone": "+442079460958",
    "invitee_timezone": "Europe/London",
}
POLL_SECONDS = 0.05


def make_data() -> User:
    """The demo organizer with everything that is theirs. One that exists is left as it is, whatever was edited.

    Raises Conflict in production, since the password is known to everybody.
    """
    if settings.PRODUCTION:
        raise Conflict(f"No demo data while PRODUCTION is on: everybody knows the password of {EMAIL}.")
    with transaction.atomic():
        existing = User.objects.filter(email=EMAIL).first()
        if existing is not None:
            return existing
        organizer = User.objects.create_user(
            EMAIL,
            PASSWORD,
            first_name="Dana",
            last_name="Demo",
            company="Demo & Co.",
            timezone="Europe/Berlin",
            phone="+4930123456",
            is_staff=True,
            is_superuser=True,
        )
        for fields in EVENT_TYPES:
            EventType.objects.create(organizer=organizer, **fields)
        for fields in WORKFLOWS:
            _make_workflow(organizer, fields)
    return organizer


def _make_workflow(organizer: User, fields: Mapping[str, Any]) -> None:
    workflow = Workflow(organizer=organizer, **{name: value for name, value in fields.items() if name != "actions"})
    workflow.full_clean()
    workflow.save()
    for number, action_fields in enumerate(fields["actions"], 1):
        action = WorkflowAction(workflow=workflow, **{"order": number, **action_fields})
        action.full_clean()
        action.save()


def book() -> Booking:
    """A new Discovery Call, the day after tomorrow at ten in the organizer's time zone: every reminder lies ahead."""
    event_type = EventType.objects.select_related("organizer").get(organizer__email=EMAIL, slug="discovery-call")
    organizer = event_type.organizer
    day = clock.now().astimezone(ZoneInfo(organizer.timezone)).date() + dt.timedelta(days=2)
    start = dt.datetime.combine(day, dt.time(10), ZoneInfo(organizer.timezone)).astimezone(dt.UTC)
    booking = Booking(
        event_type=event_type,
        organizer=organizer,
        start_time=start,
        end_time=start + dt.timedelta(minutes=event_type.duration),
        **INVITEE,
    )
    booking.full_clean()
    with caused_by("demo"):
        booking.save()
    return booking


def follow(booking: Booking, timeout: float = 60.0) -> Iterator[str]:
    """What Weir does about a new booking, line by line as it happens, until nothing is left to do now.

    Raises TimeoutError after `timeout` seconds (of the process's own clock), saying what it waited for.
    """
    deadline = time.monotonic() + timeout
    zone = ZoneInfo(booking.organizer.timezone)
    told: dict[Any, str] = {}
    yield f"{booking.invitee_name} books {booking.event_type.name}, {_moment(booking.start_time, zone)}"
    while True:
        unprocessed = BookingEvent.objects.filter(booking=booking, processed_at__isnull=True).exists()
        executions = list(
            WorkflowExecution.objects.filter(booking=booking).select_related("workflow").order_by("created_at", "id")
        )
        now_running = [execution for execution in executions if not _is_planned(execution)]
        for execution in now_running:
            yield from _news(execution, told)
        if not unprocessed and not any(execution.is_open for execution in now_running):
            break
        if time.monotonic() > deadline:
            waiting = "a worker to take the booking's event" if unprocessed else "the execution's next step"
            raise TimeoutError(f"waited {timeout:g} s for {waiting}; is a worker running?")
        time.sleep(POLL_SECONDS)
    for execution in sorted(executions, key=lambda row: row.scheduled_for or row.created_at):
        if _is_planned(execution) and execution.scheduled_for and execution.workflow:
            yield f"· {execution.workflow.name}: planned for {_moment(execution.scheduled_for, zone)}"


def _is_planned(execution: WorkflowExecution) -> bool:
    return (
        execution.status == ExecutionStatus.PENDING
        and execution.scheduled_for is not None
        and execution.scheduled_for > clock.now()
    )


def _news(execution: WorkflowExecution, told: dict[Any, str]) -> Iterator[str]:
    """What changed since `told`, which is brought up to date."""
    if execution.id not in told:
        told[execution.id] = ""
        yield f"▶ {execution.workflow.name if execution.workflow else execution.definition}"
    for step in ExecutionStep.objects.filter(execution=execution).order_by("seq"):
        line = _step_line(step)
        if line and told.get(step.pk) != line:
            told[step.pk] = line
            yield f"  {line}"
    if not execution.is_open and told[execution.id] != execution.status:
        told[execution.id] = execution.status
        yield _end_line(execution)


def _step_line(step: ExecutionStep) -> str:
    options = payloads.decode(step.options) or {}
    name = f"{step.name:<30}"
    title = options.get("summary") or ""
    if step.status == StepStatus.COMPLETED:
        result = payloads.decode(step.output)
        outcome = result.get("status", "success") if isinstance(result, dict) else "success"
        if outcome == "skipped_conditions":
            return f"– {name} {title}: its conditions do not hold"
        if outcome == "skipped":
            return f"– {name} {title}: {' '.join(result.get('notes', [])) or 'skipped'}"
        return f"✓ {name} {title}{_to(result)}  {_duration(step)}"
    if step.status == StepStatus.FAILED:
        return f"✗ {name} {title}: failed after {step.attempt} attempt(s){_reason(step)}"
    if step.status == StepStatus.PENDING and step.attempt:
        return f"↻ {name} {title}: attempt {step.attempt} did not succeed, another one follows{_reason(step)}"
    if step.status in (StepStatus.CANCELLED, StepStatus.SKIPPED, StepStatus.DEAD_LETTER):
        return f"– {name} {title}: {step.get_status_display().lower()}"
    return ""


def _to(result: Any) -> str:
    recipients = result.get("recipients", []) if isinstance(result, dict) else []
    addresses = [str(entry["recipient"]) for entry in recipients if isinstance(entry, dict) and entry.get("recipient")]
    return f" to {', '.join(addresses)}" if addresses else ""


def _duration(step: ExecutionStep) -> str:
    if step.started_at is None or step.completed_at is None:
        return ""
    return f"{(step.completed_at - step.started_at).total_seconds() * 1000:.0f} ms"


def _reason(step: ExecutionStep) -> str:
    failure = payloads.decode(step.failure)
    message = failure.get("message") if isinstance(failure, dict) else ""
    return f": {message}" if message else ""  # one whose worker was lost has none


def _end_line(execution: WorkflowExecution) -> str:
    took = ""
    if execution.started_at and execution.completed_at:
        took = f" in {(execution.completed_at - execution.started_at).total_seconds():.1f} s"
    good = execution.status == ExecutionStatus.COMPLETED
    reason = "" if good else f": {execution.error_message}"
    return f"{'✓' if good else '✗'} {execution.get_status_display().lower()}{took}{reason}"


def _moment(moment: dt.datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%A, %-d %B %Y, %H:%M} ({zone.key})"
