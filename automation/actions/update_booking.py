"""Changes the booking: some of its fields, checked against the model, audited, exactly once.

The change, its audit entry, the event that it is and the record of this step's outcome commit in one transaction. A
workflow's own change names the workflow as its cause, so that it does not trigger itself.

Retry schedule: up to 5 attempts, 1 s after the first, then doubling, for a database that is away or in conflict. A
field that does not fit fails the action at once, and changes nothing: no field is left out in silence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from automation import clock
from automation.actions.base import ActionProblem, ActionType, ConfigField, Preview, TemplateCheck
from automation.actions.config import ActionConfig
from automation.actions.invocation import Invocation
from automation.actions.nested import check_nested, render_nested
from automation.actions.report import Report
from automation.causes import caused_by
from automation.durable.common import RetryPolicy
from automation.models import Booking, BookingAuditLog, BookingStatus
from automation.rules.values import has_unstorable

ALLOWED = ("status", "cancellation_reason", "meeting_link", "meeting_id", "meeting_password", "custom_answers")
MAX_ANSWERS = 100_000
"""Bytes of JSON that `custom_answers` may have after the merge."""


class UpdateBooking(ActionType):
    name = "update_booking"
    label = "Update booking"
    description = "Sets the booking's status, meeting details, cancellation reason or answers."
    activity = "execute_update_booking_action"
    retry_policy = RetryPolicy(
        initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1), maximum_attempts=5
    )
    timeout = timedelta(seconds=30)
    fields = (
        ConfigField(
            "update_booking_fields",
            "Fields",
            "json",
            required=True,
            help="Any of " + ", ".join(ALLOWED) + "; texts are templates; answers are merged into those there are.",
        ),
    )
    transactional = True

    def act(self, invocation: Invocation, report: Report) -> dict[str, Any]:
        wanted = render_nested(invocation.action.update_booking_fields, invocation.context)
        report.rendered = {"fields": wanted}
        if problems := _shape_problems(wanted):
            raise report.failure(" ".join(problem.message for problem in problems), "InvalidFields")
        with transaction.atomic():
            done = BookingAuditLog.objects.filter(
                execution_id=invocation.execution_id, step_seq=invocation.step_seq
            ).first()
            if done is not None:
                report.notes.append("An earlier attempt had changed the booking already.")
                report.rendered |= {"old": done.old_values, "new": done.new_values}
                return report.result()
            booking = Booking.objects.select_for_update(of=("self",)).get(id=invocation.booking.id)
            old, new = _apply(booking, wanted, invocation, report)
            if not new:
                report.notes.append("The booking has these values already.")
                return report.result()
            _save(booking, old, new, invocation)
        report.rendered |= {"old": old, "new": new}
        return report.result()

    def check(self, config: ActionConfig, templates: TemplateCheck) -> list[ActionProblem]:
        fields = config.update_booking_fields
        problems = _shape_problems(fields)
        if isinstance(fields, dict):
            problems += check_nested("update_booking_fields", fields, templates)
            literal = {name: value for name, value in fields.items() if name in ALLOWED and not _has_markup(value)}
            for name, messages in _model_problems(Booking(), literal).items():
                problems += [ActionProblem(f"update_booking_fields.{name}", message) for message in messages]
        return problems

    def show(self, context: Mapping[str, Any], config: ActionConfig, preview: Preview) -> None:
        fields = config.update_booking_fields
        preview.rendered["fields"] = render_nested(
            fields if isinstance(fields, dict) else {}, context, preview.fallbacks
        )


def _apply(
    booking: Booking, wanted: Mapping[str, Any], invocation: Invocation, report: Report
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sets the fields on the locked row's instance; returns what differs, as (old, new)."""
    before = {name: getattr(booking, name) for name in ALLOWED}
    values = dict(wanted)
    if "custom_answers" in values:
        values["custom_answers"] = {**(booking.custom_answers or {}), **values["custom_answers"]}
    if problems := _model_problems(booking, values):
        text = " ".join(f"{name}: {' '.join(messages)}" for name, messages in problems.items())
        raise report.failure(f"The booking was not changed. {text}", "InvalidFields")
    changed = [name for name in ALLOWED if getattr(booking, name) != before[name]]
    old = {name: before[name] for name in changed}
    if "status" in changed and booking.status == BookingStatus.CANCELLED:
        changed.append("cancelled_by")
        old["cancelled_by"] = booking.cancelled_by
        booking.cancelled_by = _actor(invocation)
    return old, {name: getattr(booking, name) for name in changed}


def _save(booking: Booking, old: dict[str, Any], new: dict[str, Any], invocation: Invocation) -> None:
    booking.updated_at = clock.now()
    with caused_by(
        "workflow",
        execution_id=invocation.execution_id,
        workflow_id=invocation.workflow_id,
        depth=invocation.depth + 1,
    ):
        booking.save(update_fields=[*new, "updated_at"])
    # The unique constraint on (execution, step) undoes a second application together with its change.
    BookingAuditLog.objects.create(
        booking=booking,
        action="updated",
        actor=_actor(invocation),
        execution_id=invocation.execution_id,
        step_seq=invocation.step_seq,
        old_values=old,
        new_values=new,
    )


def _actor(invocation: Invocation) -> str:
    return f"workflow:{invocation.workflow_name}"[:254]


def _shape_problems(fields: Any) -> list[ActionProblem]:
    """Unknown fields, and values of a kind that no template can mend."""
    path = "update_booking_fields"
    if not isinstance(fields, dict):
        return [ActionProblem(path, f"Expected a JSON object, found {type(fields).__name__}.")]
    if not fields:
        return [ActionProblem(path, "Name at least one field to change.")]
    problems = []
    for name, value in fields.items():
        if name not in ALLOWED:
            problem = f"{name!r} cannot be changed by a workflow; allowed are {', '.join(ALLOWED)}."
        elif name == "custom_answers" and not isinstance(value, dict):
            problem = "custom_answers must be an object of answers by key."
        elif name != "custom_answers" and (isinstance(value, bool) or not isinstance(value, str | int | float)):
            problem = f"{name} must be text, not {type(value).__name__}."
        else:
            continue
        problems.append(ActionProblem(f"{path}.{name}", problem))
    return problems


def _model_problems(booking: Booking, values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Sets `values` on the instance, cleaned as the model's fields clean them; returns what does not fit, by field."""
    for name, value in values.items():
        setattr(booking, name, value)
    others = {field.name for field in Booking._meta.fields} - set(values)
    problems: dict[str, list[str]] = {}
    try:
        booking.clean_fields(exclude=others)
    except ValidationError as error:
        problems = {name: list(messages) for name, messages in error.message_dict.items()}
    answers = json.dumps(values.get("custom_answers", {}))
    if len(answers) > MAX_ANSWERS:
        problems.setdefault("custom_answers", []).append(f"The answers take more than {MAX_ANSWERS:,} bytes.")
    if any(has_unstorable(str(key)) for key in values.get("custom_answers", {})):
        problems.setdefault("custom_answers", []).append("A key holds a NUL or a lone surrogate.")
    return problems


def _has_markup(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    if isinstance(value, dict):
        return any(_has_markup(item) for item in value.values())
    return isinstance(value, list) and any(_has_markup(item) for item in value)
