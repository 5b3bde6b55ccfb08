"""Trying a workflow: with an invented booking, with one that there is, or for real.

The first two render and evaluate everything, and send nothing: they call `ActionType.preview`, and never `run`. A live
test is an execution like any other, started by hand; with `send_to_me` it runs a version of its own, in which every
message goes to the asker, and what is no message (a webhook, a change of the booking) is told by mail instead of done.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import transaction

from automation import clock
from automation.actions import wishes
from automation.actions.base import ActionProblem, Preview
from automation.actions.config import ActionConfig
from automation.actions.invocation import Invocation, context_of
from automation.actions.registry import UnknownActionType, registry
from automation.durable import starts
from automation.errors import Conflict, InvalidInput
from automation.models import (
    Booking,
    Channel,
    EventType,
    NotificationLog,
    TestType,
    User,
    Workflow,
    WorkflowExecution,
    WorkflowVersion,
)
from automation.providers.sms import BadPhone, parse_phone
from automation.rules import conditions, tracing
from automation.services import publishing, travel, versions
from automation.services.samples import mock_booking
from automation.services.travel import Timing
from automation.services.workflow_checks import check_actions
from automation.workflows import DEFINITION, AutomationInput

RUNS, FAILS, SKIPPED, SKIPPED_CONDITIONS = "runs", "fails", "skipped", "skipped_conditions"
ADDRESSED = {"send_email": Channel.EMAIL, "send_sms": Channel.SMS}
"""The types that go to people, and fail where nobody can be reached."""
MAX_SHOWN = 5_000
"""Characters of a preview that a mail to the asker shows."""


@dataclass
class ActionTrial:
    """What would come of one action. `status`: runs, fails (`problems` say why), skipped (`notes` say why) or
    skipped_conditions (`conditions` is the trace). The others as in `actions.base.Preview`; `duration_ms` of trying."""

    action_id: str
    name: str
    action_type: str
    order: int
    status: str
    conditions: list[dict[str, Any]] = field(default_factory=list)
    rendered: dict[str, Any] = field(default_factory=dict)
    recipients: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    duration_ms: float = 0.0


@dataclass
class Trial:
    """`remarks`: why the workflow would not act on this booking, whatever its actions say. `passed`: no action would
    fail. `version`: the live one's number, None for a draft. `context`: what conditions and templates saw."""

    workflow_id: UUID
    workflow_name: str
    version: int | None
    test_type: str
    booking_id: UUID | None
    timing: Timing
    context: dict[str, Any]
    remarks: list[str]
    actions: list[ActionTrial]
    duration_ms: float

    @property
    def passed(self) -> bool:
        return all(action.status != FAILS for action in self.actions)

    def as_dict(self) -> dict[str, Any]:
        return {
            "test_type": self.test_type,
            "workflow_id": str(self.workflow_id),
            "workflow_name": self.workflow_name,
            "version": self.version,
            "booking_id": str(self.booking_id) if self.booking_id else None,
            "passed": self.passed,
            "sent": False,
            "timing": self.timing.as_dict(),
            "remarks": self.remarks,
            "actions": [asdict(action) for action in self.actions],
            "context": self.context,
            "duration_ms": self.duration_ms,
        }


@dataclass(frozen=True)
class Subject:
    """What is tried: a workflow's snapshot, live or a draft (`version` None), read once for many bookings."""

    workflow: Workflow
    content: Mapping[str, Any]
    version: int | None
    event_type: EventType | None


def subject_of(workflow: Workflow, *, draft: bool = False) -> Subject:
    """The workflow as it is live, or its draft where `draft` asks for it and there is one."""
    found = publishing.draft_of(workflow) if draft else None
    content = versions.snapshot(workflow) if found is None else found.content
    own = EventType.objects.filter(organizer_id=workflow.organizer_id, is_active=True)
    ids = [UUID(str(id_)) for id_ in content.get("event_types", ())]
    event_type = (own.filter(pk__in=ids) if ids else own).order_by("pk").first()
    return Subject(workflow, content, workflow.version if found is None else None, event_type)


def try_mock(subject: Subject, sample: Mapping[str, Any] | None = None, at: dt.datetime | None = None) -> Trial:
    """With an invented booking, of which `sample` sets context fields. Raises InvalidInput for a sample that cannot
    be."""
    at = at or clock.now()
    trigger = str(subject.content["trigger"])
    booking, derived = mock_booking(subject.workflow.organizer, subject.event_type, trigger, clock.now(), sample)
    return _try(subject, TestType.MOCK_DATA, booking, at, derived)


def try_real(subject: Subject, booking: Booking, at: dt.datetime | None = None, *, ask: bool = True) -> Trial:
    """With a booking of the workflow's organizer, as it is now. `booking` has its event type and organizer at hand.
    ask: look up whether the recipients want these messages; without it there is no query."""
    return _try(subject, TestType.REAL_DATA, booking, at or clock.now(), {}, ask=ask)


def start_live(
    workflow: Workflow,
    booking: Booking,
    *,
    by: User,
    draft: bool = False,
    send_to_me: bool = False,
    skip_delays: bool = False,
) -> WorkflowExecution:
    """Run the workflow for this booking, for real; returns the execution, which waits for a worker.

    send_to_me: nothing reaches anybody but `by`. skip_delays: the actions follow each other at once. Raises
    InvalidInput for a draft that cannot run, and Conflict where there is nothing to run.
    """
    content = publishing.content_of(workflow, draft=draft)
    if problems := check_actions([action for action in content["actions"] if action.get("is_active", True)]):
        raise InvalidInput("The workflow cannot run as it is.", problems)
    if send_to_me:
        content = redirected(content, booking, by)
    plan = versions.input_of(content)
    if not plan.stages:
        raise Conflict("The workflow has no active action, so there is nothing to run.")
    if skip_delays:
        plan = AutomationInput([[replace(action, delay_minutes=0) for action in stage] for stage in plan.stages])
    with transaction.atomic():
        live = not draft and not send_to_me
        version = _live_version(workflow) if live else publishing.trial_version(workflow, content, by)
        (id_,) = starts.start_many(
            [
                starts.NewExecution(
                    definition=DEFINITION,
                    args=(plan,),
                    workflow_id=workflow.pk,
                    version_id=version.pk,
                    booking_id=booking.pk,
                    organizer_id=workflow.organizer_id,
                    trigger=str(content["trigger"]),
                )
            ]
        )
        if not live:
            # What never was the workflow's content says nothing about how the workflow does.
            WorkflowExecution.objects.filter(pk=id_).update(counted=True)
    return WorkflowExecution.objects.select_related("workflow", "version").get(pk=id_)


def redirected(content: Mapping[str, Any], booking: Booking, by: User) -> dict[str, Any]:
    """The snapshot with every message going to `by`, and everything else told by mail instead of done."""
    context = context_of(booking, clock.now())
    actions = [_redirected(action, context, by) for action in content["actions"] if action.get("is_active", True)]
    return {**content, "actions": actions}


def _live_version(workflow: Workflow) -> WorkflowVersion:
    return versions.publish(workflow)


def _redirected(action: Mapping[str, Any], context: Mapping[str, Any], by: User) -> dict[str, Any]:
    to_me = {**action, "recipient": "custom", "custom_email": by.email, "custom_phone": by.phone}
    mail = {**to_me, "action_type": "send_email", "config": {}}
    name = str(action.get("name", ""))
    match action["action_type"]:
        case "send_email":
            subject = action.get("subject") or "{{ event_type_name }}"
            return {**to_me, "subject": f"[Test] {subject}"}
        case "send_sms" if _can_be_texted(by):
            return to_me
        case "send_sms":
            return {**mail, "subject": _literal(f"[Test] {name} (a text)")}
    kind = registry.get(str(action["action_type"]))
    preview = kind.preview(context, ActionConfig.from_mapping(action))
    shown = json.dumps(tracing.traced(preview.rendered), indent=2, ensure_ascii=False, default=str)[:MAX_SHOWN]
    to = f"\nTo: {', '.join(preview.recipients)}" if preview.recipients else ""
    message = f"{kind.label}: this would have been done, and was not.{to}\n\n{shown}"
    return {**mail, "subject": _literal(f"[Test] {name}"), "message": _literal(message)}


def _can_be_texted(user: User) -> bool:
    try:
        return bool(user.phone.strip()) and bool(parse_phone(user.phone, user.timezone).e164)
    except BadPhone:
        return False


def _literal(text: str) -> str:
    """A template that renders as `text`, whatever is in it, and that nobody takes for HTML."""
    return text.replace("{", "\0").replace("<", "{{ '<' }}").replace("\0", "{{ '{' }}")


def _try(
    subject: Subject,
    test_type: str,
    booking: Booking,
    at: dt.datetime,
    derived: Mapping[str, Any],
    *,
    ask: bool = False,
) -> Trial:
    started = time.perf_counter()
    content = subject.content
    timing = travel.timing(content, booking, at)
    now = max(at, timing.planned_for or at)
    context = {**context_of(booking, now), **derived}
    invocation = _invocation(subject, booking, context, now)
    actions = _actions(content.get("actions", ()), context)
    if ask:
        _ask_recipients(actions, invocation)
    return Trial(
        workflow_id=subject.workflow.pk,
        workflow_name=str(content.get("name", "")),
        version=subject.version,
        test_type=str(test_type),
        booking_id=booking.pk if test_type == TestType.REAL_DATA else None,
        timing=timing,
        context={name: tracing.traced(value) for name, value in context.items()},
        remarks=_remarks(subject, timing, invocation),
        actions=actions,
        duration_ms=_milliseconds(started),
    )


def _remarks(subject: Subject, timing: Timing, invocation: Invocation) -> list[str]:
    booking, remarks = invocation.booking, []
    if not subject.workflow.is_active:
        remarks.append("The workflow is switched off.")
    limited = {str(id_) for id_ in subject.content.get("event_types", ())}
    if limited and str(booking.event_type_id) not in limited and not booking._state.adding:
        remarks.append(f"The workflow is not for {booking.event_type.name!r}.")
    if timing.state == "skipped":
        remarks.append(timing.reason)
    elif reason := invocation.no_longer_meant():
        remarks.append(reason)
    return remarks


def _ask_recipients(actions: Sequence[ActionTrial], invocation: Invocation) -> None:
    """Whose wishes, or whose address, keep a message back, or put it off: two look-ups for each channel."""
    booking = invocation.booking
    organizer = {booking.organizer.email.lower(): booking.organizer.timezone}
    for kind, channel in ADDRESSED.items():
        trials = [action for action in actions if action.action_type == kind and action.status == RUNS]
        addresses = {recipient for trial in trials for recipient in trial.recipients}
        zones = {address.lower(): booking.invitee_timezone for address in addresses} | organizer
        # Messages that are no rows: nothing of a daily limit is taken for them.
        found = wishes.objections(invocation, channel, {address: NotificationLog() for address in addresses}, zones)
        for trial in trials:
            against = [found[address.lower()] for address in trial.recipients if address.lower() in found]
            trial.notes += [objection.reason for objection in against]
            if len(against) == len(trial.recipients) and all(objection.until is None for objection in against):
                trial.status = SKIPPED


def _invocation(subject: Subject, booking: Booking, context: Mapping[str, Any], now: dt.datetime) -> Invocation:
    """An attempt that is not made: for what the booking as it is has to say about it."""
    return Invocation(
        execution_id=UUID(int=0),
        step_seq=0,
        attempt=1,
        idempotency_key="",
        action=ActionConfig(),
        workflow_id=subject.workflow.pk,
        workflow_name=str(subject.content.get("name", "")),
        trigger=str(subject.content["trigger"]),
        depth=0,
        booking_sequence=booking.sequence,
        booking=booking,
        context=context,
        now=now,
    )


def _actions(actions: Sequence[Mapping[str, Any]], context: Mapping[str, Any]) -> list[ActionTrial]:
    trials: list[ActionTrial] = []
    stopped_by, stopped_at = "", 0
    for action in sorted(actions, key=lambda action: int(action.get("order", 0))):
        trial = try_action(action, context)
        if stopped_by and trial.order > stopped_at and trial.status in (RUNS, FAILS):
            trial.status = SKIPPED
            trial.notes.append(f"{stopped_by!r} fails before it, and stops what follows.")
        elif trial.status == FAILS and action.get("on_failure") == "stop" and not stopped_by:
            stopped_by, stopped_at = trial.name, trial.order
        trials.append(trial)
    return trials


def try_action(action: Mapping[str, Any], context: Mapping[str, Any]) -> ActionTrial:
    """What one action of a snapshot would do with this context. Sends and changes nothing, and raises nothing."""
    started = time.perf_counter()
    config = ActionConfig.from_mapping(action)
    evaluation = conditions.evaluate(config.conditions, context)
    try:
        preview = registry.get(config.action_type).preview(context, config)
    except UnknownActionType as error:
        preview = Preview(problems=[ActionProblem("action_type", error.message)])
    if config.action_type in ADDRESSED and not preview.recipients:
        preview.problems.append(
            ActionProblem("recipient", " ".join(["There is nobody to send this to.", *preview.notes]))
        )
    status = RUNS
    notes = list(preview.notes)
    if not config.is_active:
        status = SKIPPED
        notes.append("The action is switched off.")
    elif not evaluation.result:
        status = SKIPPED_CONDITIONS
    elif any(problem.severity == "error" for problem in preview.problems):
        status = FAILS
    return ActionTrial(
        action_id=config.id,
        name=config.name,
        action_type=config.action_type,
        order=config.order,
        status=status,
        conditions=evaluation.trace,
        rendered=preview.rendered,
        recipients=preview.recipients,
        notes=notes,
        problems=[problem.as_dict() for problem in preview.problems],
        fallbacks=preview.fallbacks,
        duration_ms=_milliseconds(started),
    )


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
