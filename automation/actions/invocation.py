"""What an action gets when it runs: read anew, then frozen.

The configuration is that of the version the execution started with; the booking, its event type and its organizer are
read at fire time, so that a message goes to today's address and a cancelled meeting reminds nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from automation import clock
from automation.actions.config import ActionConfig
from automation.durable.exceptions import ApplicationError
from automation.models import Booking, BookingStatus, Trigger, WorkflowExecution, WorkflowVersion
from automation.rules.context import BookingFacts, build_context

_MEETING_TRIGGERS = (Trigger.BEFORE_MEETING, Trigger.AFTER_MEETING)
# Texts of unbounded size that no action reads.
_UNREAD = ("input", "result", "failure", "error_message")


class ActivityInfo(Protocol):
    """What is needed of `automation.durable.activity.Info`."""

    @property
    def execution_id(self) -> UUID: ...
    @property
    def seq(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def idempotency_key(self) -> str: ...


@dataclass(frozen=True)
class Invocation:
    """One attempt at one action. `depth` is the execution's; `context` is that of `automation.rules.context`."""

    execution_id: UUID
    step_seq: int
    attempt: int
    idempotency_key: str
    action: ActionConfig
    workflow_id: UUID
    workflow_name: str
    trigger: str
    depth: int
    booking_sequence: int | None
    booking: Booking
    context: Mapping[str, Any]
    now: datetime
    workflow_is_active: bool = True
    planned_for: datetime | None = None
    """When this action was to run, by the plan; None where the execution had no planned time."""
    event_types: frozenset[str] = frozenset()
    """The ids of the event types that the workflow's version is for; empty: all."""
    overtaken: bool = False
    """It tells of a move of the meeting, and a newer move has an execution of its own."""

    def no_longer_meant(self) -> str:
        """Why this action must not run any more, or the empty string.

        A cancelled or rescheduled-away meeting gets nothing but what its cancelling or rescheduling triggered, and a
        meeting that was cancelled after it had been rescheduled gets no word of the rescheduling either. One that was
        moved twice in a row is told of once. What was planned around a meeting's old time is not sent for its new time:
        that has an execution of its own. A workflow that was switched off, or is not for the event type that the
        booking has now, does nothing more of what a trigger began; a run by hand, which has no booking sequence, may be
        of a draft. What was to come before a meeting does not come after its beginning.
        """
        by_trigger = self.booking_sequence is not None
        if by_trigger and not self.workflow_is_active:
            return "The workflow has been switched off since this was planned."
        if by_trigger and self.event_types and str(self.booking.event_type_id) not in self.event_types:
            return "The booking has been given another event type since this was planned; the workflow is not for it."
        status = self.booking.status
        if status == BookingStatus.CANCELLED and self.trigger != Trigger.BOOKING_CANCELLED:
            return "The booking has been cancelled since this was planned."
        if status == BookingStatus.RESCHEDULED and self.trigger not in (
            Trigger.BOOKING_RESCHEDULED,
            Trigger.BOOKING_CANCELLED,
        ):
            return "The booking has been replaced by a rescheduled one since this was planned."
        if (
            self.trigger in _MEETING_TRIGGERS
            and self.booking_sequence is not None
            and self.booking_sequence < self.booking.sequence
        ):
            return "The meeting has been moved since this was planned; its new time has an execution of its own."
        if self.overtaken:
            return "The meeting has been moved again since this was planned; that has an execution of its own."
        start = self.booking.start_time
        # Whatever made it late: workers that were down, retries, quiet hours. Where the plan itself leads past the
        # start (an action with a long delay), after the start is when it is meant.
        was_to_come_before = self.trigger == Trigger.BEFORE_MEETING and self.booking_sequence is not None
        if was_to_come_before and self.now >= start and (self.planned_for is None or self.planned_for < start):
            return f"The meeting has begun, at {start:%Y-%m-%d %H:%M} UTC, and this was to come before it."
        return ""


def load(action_id: str, info: ActivityInfo) -> Invocation:
    """Reads all that the action needs: one query, one for a version that this process has not run yet, and one where
    the meeting has been moved again since the move that this tells of.

    Raises a non-retryable ApplicationError where the execution, its booking or the action is missing.
    """
    execution = (
        WorkflowExecution.objects.select_related("booking__event_type", "booking__organizer", "workflow")
        .defer(*_UNREAD)
        .filter(id=info.execution_id)
        .first()
    )
    if execution is None:
        raise _missing(f"There is no execution {info.execution_id}; it may have been deleted.")
    if execution.booking is None:
        raise _missing("The execution belongs to no booking, which every action of an automation needs.")
    if execution.version_id is None or execution.workflow_id is None:
        raise _missing("The execution names no version of a workflow, so there is no action to run.")
    version = _version(execution.version_id)
    action = version.actions.get(action_id)
    if action is None:
        raise _missing(f"Version {execution.version_id} of the workflow has no action {action_id}.")
    now = clock.now()
    return Invocation(
        execution_id=execution.id,
        step_seq=info.seq,
        attempt=info.attempt,
        idempotency_key=info.idempotency_key,
        action=action,
        workflow_id=execution.workflow_id,
        workflow_name=version.name,
        trigger=execution.trigger,
        depth=execution.depth,
        booking_sequence=execution.booking_sequence,
        booking=execution.booking,
        context=context_of(execution.booking, now),
        now=now,
        workflow_is_active=execution.workflow is not None and execution.workflow.is_active,
        planned_for=execution.scheduled_for and execution.scheduled_for + _offset(version, action),
        event_types=version.event_types,
        overtaken=_is_overtaken(execution),
    )


def _is_overtaken(execution: WorkflowExecution) -> bool:
    """Whether a newer move, of the booking or to the one that has replaced it, has started the same workflow."""
    workflow, sequence, booking = execution.workflow_id, execution.booking_sequence, execution.booking
    if execution.trigger != Trigger.BOOKING_RESCHEDULED or workflow is None or sequence is None or booking is None:
        return False
    newer = Q()
    if sequence < booking.sequence:
        newer |= Q(booking_id=booking.pk, booking_sequence__gt=sequence)
    if booking.status == BookingStatus.RESCHEDULED:
        newer |= Q(booking__rescheduled_from_id=booking.pk, booking_sequence__isnull=False)
    others = WorkflowExecution.objects.filter(workflow_id=workflow, trigger=execution.trigger)
    return bool(newer) and others.filter(newer).exists()


def planned_for(execution: WorkflowExecution, action_id: str) -> datetime | None:
    """When an action of this execution was to run, by the plan; None where the execution had no planned time."""
    if execution.version_id is None or execution.scheduled_for is None:
        return None
    version = _version(execution.version_id)
    action = version.actions.get(action_id)
    return execution.scheduled_for + _offset(version, action) if action is not None else None


def _offset(version: _Version, action: ActionConfig) -> timedelta:
    """How long after the execution's start the action was to run: the longest delay of each stage before it, and its
    own."""
    delays: dict[int, int] = {}
    for other in version.actions.values():
        if other.is_active and other.order < action.order:
            delays[other.order] = max(delays.get(other.order, 0), other.delay_minutes)
    return timedelta(minutes=sum(delays.values()) + action.delay_minutes)


def context_of(booking: Booking, now: datetime) -> dict[str, Any]:
    """The context of conditions, templates and webhooks for a booking with its event type and organizer."""
    event_type, organizer = booking.event_type, booking.organizer
    facts = BookingFacts(
        booking_id=str(booking.id),
        status=booking.status,
        start_time=booking.start_time,
        end_time=booking.end_time,
        created_at=booking.created_at,
        invitee_name=booking.invitee_name,
        invitee_email=booking.invitee_email,
        invitee_phone=booking.invitee_phone,
        invitee_timezone=booking.invitee_timezone,
        attendee_count=booking.attendee_count,
        custom_answers=booking.custom_answers if isinstance(booking.custom_answers, dict) else {},
        meeting_link=booking.meeting_link,
        meeting_id=booking.meeting_id,
        meeting_password=booking.meeting_password,
        cancellation_reason=booking.cancellation_reason,
        event_type_id=str(event_type.id),
        event_type_name=event_type.name,
        event_type_slug=event_type.slug,
        event_type_description=event_type.description,
        event_type_duration=event_type.duration,
        event_type_location_type=event_type.location_type,
        event_type_max_attendees=event_type.max_attendees,
        organizer_id=str(organizer.id),
        organizer_email=organizer.email,
        organizer_first_name=organizer.first_name,
        organizer_last_name=organizer.last_name,
        organizer_timezone=organizer.timezone,
        organizer_company=organizer.company,
        public_base_url=settings.PUBLIC_URL,
        access_token=booking.access_token,
    )
    return build_context(facts, now)


@dataclass(frozen=True)
class _Version:
    name: str
    actions: Mapping[str, ActionConfig]
    event_types: frozenset[str]


@lru_cache(maxsize=256)
def _version(version_id: UUID) -> _Version:
    """A version never changes, so a process reads it once."""
    snapshot = WorkflowVersion.objects.values_list("snapshot", flat=True).get(id=version_id)
    actions = [ActionConfig.from_mapping(data) for data in snapshot.get("actions", [])]
    event_types = frozenset(str(id_) for id_ in snapshot.get("event_types", ()))
    return _Version(str(snapshot.get("name", "")), {action.id: action for action in actions}, event_types)


def _missing(message: str) -> ApplicationError:
    return ApplicationError(message, type="NotFound", non_retryable=True)
