"""What will not do what its author meant, in a workflow that could be saved: nothing here is an error.

A workflow comes as a snapshot (see `automation.services.versions`), its event types as the context's `event_type_*`
fields. Each concern says where it is, and what would be right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from automation.rules import templating
from automation.rules.analysis import Verdict
from automation.rules.conditions import holds
from automation.rules.expressions import ExpressionError, compile_expression
from automation.rules.fields import sample_context
from automation.rules.plan import Trigger
from automation.rules.worlds import WEEK, Family, Judgement, judge

MAX_EVENT_TYPES = 200
"""Event types whose conditions are tried one by one."""
SMS_TYPE, EMAIL_TYPE = "send_sms", "send_email"


@dataclass(frozen=True, slots=True)
class Concern:
    """`code` is for programs; `path` names the place, `actions[1].conditions[0]`; `line` is a template's."""

    code: str
    path: str
    message: str
    suggestion: str = ""
    line: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_STATUSES: dict[str, tuple[str, ...]] = {
    Trigger.BOOKING_CREATED: ("confirmed", "completed", "no_show"),
    Trigger.BOOKING_CANCELLED: ("cancelled",),
    Trigger.BOOKING_COMPLETED: ("completed", "no_show", "confirmed"),
    Trigger.BOOKING_RESCHEDULED: ("confirmed", "rescheduled", "completed", "no_show"),
    Trigger.BOOKING_NO_SHOW: ("no_show", "completed", "confirmed"),
    Trigger.BEFORE_MEETING: ("confirmed", "completed", "no_show"),
    Trigger.AFTER_MEETING: ("confirmed", "completed", "no_show"),
}
"""The statuses that a booking can have when such a workflow's actions run; in others they are skipped anyway."""

_WITHOUT_MEANING: dict[str, tuple[frozenset[str], str]] = {
    "cancellation_reason": (
        frozenset(trigger for trigger in Trigger if trigger != Trigger.BOOKING_CANCELLED),
        "is only there when a booking is cancelled",
    ),
    "cancel_url": (
        frozenset(
            (
                Trigger.BOOKING_CANCELLED,
                Trigger.BOOKING_COMPLETED,
                Trigger.BOOKING_NO_SHOW,
                Trigger.AFTER_MEETING,
            )
        ),
        "leads nowhere once the meeting is cancelled or over",
    ),
    "reschedule_url": (
        frozenset(
            (
                Trigger.BOOKING_CANCELLED,
                Trigger.BOOKING_COMPLETED,
                Trigger.AFTER_MEETING,
            )
        ),
        "leads nowhere once the meeting is cancelled or over",
    ),
    "feedback_url": (
        frozenset((Trigger.BOOKING_CANCELLED, Trigger.BOOKING_NO_SHOW, Trigger.BEFORE_MEETING)),
        "leads nowhere unless the meeting has begun",
    ),
}
"""Fields that say nothing at some triggers: the triggers, and why."""

_MEETING_FIELDS = ("meeting_link", "meeting_id", "meeting_password")
_NO_LINK = ("in_person", "phone")


def analyse_workflow(
    content: Mapping[str, Any],
    event_types: Sequence[Mapping[str, Any]] = (),
    *,
    template_fields: Mapping[str, Collection[str]],
    broken: Collection[int] = (),
) -> list[Concern]:
    """Concerns in the order of the actions.

    event_types: those that the workflow is for, as context fields; empty where nothing is known of them.
    template_fields: by action type, the names of its fields whose texts are templates. broken: the places of actions
    that always fail, because their configuration has errors.
    """
    actions = [action if isinstance(action, Mapping) else {} for action in content.get("actions") or ()]
    trigger = str(content.get("trigger", ""))
    families = _families(trigger, event_types)
    concerns: list[Concern] = []
    stopped = _stopped_before(actions, broken)
    seen: dict[tuple[Any, ...], int] = {}
    for index, action in enumerate(actions):
        if not action.get("is_active", True):
            continue
        here = f"actions[{index}]"
        concerns += _conditions(here, action, families)
        if index in stopped:
            concerns.append(_unreachable(here, action, stopped[index], actions))
        concerns += _variables(here, action, trigger, event_types, template_fields)
        concerns += _contents(here, action)
        concerns += _repeated(index, action, seen)
    if actions and not any(action.get("is_active", True) for action in actions):
        concerns.append(
            Concern("nothing_active", "actions", "All actions are switched off: the workflow does nothing.")
        )
    return concerns


def _families(trigger: str, event_types: Sequence[Mapping[str, Any]]) -> list[Family]:
    families = [WEEK]
    if trigger in _STATUSES:
        statuses = tuple({"booking_status": status} for status in _STATUSES[trigger])
        families.append(Family(f"status that a booking can have at {trigger}", statuses))
    if 0 < len(event_types) <= MAX_EVENT_TYPES:
        families.append(Family("event type of this workflow", tuple(event_types)))
    return families


def _conditions(here: str, action: Mapping[str, Any], families: Sequence[Family]) -> Iterator[Concern]:
    judgement: Judgement = judge(action.get("conditions") or [], families)
    for finding in judgement.findings:
        code = "contradiction" if finding.verdict is Verdict.NEVER else "always_true"
        hint = "" if finding.verdict is Verdict.NEVER else "Leave it out: it decides nothing."
        yield Concern(code, f"{here}.{finding.path}", f"{finding.message}.", hint)
    if judgement.impossible:
        yield Concern(
            "unreachable",
            here,
            f"The action {action.get('name', '')!r} never runs: {judgement.impossible}.",
            "Change its conditions, or remove the action.",
        )


def _stopped_before(actions: Sequence[Mapping[str, Any]], broken: Collection[int]) -> dict[int, int]:
    """By the place of an action that is never come to: the place of the one before it that always fails and stops."""
    stops = [
        index
        for index in broken
        if index < len(actions)
        and actions[index].get("on_failure") == "stop"
        and actions[index].get("is_active", True)
        and not actions[index].get("conditions")  # else it may be skipped, and nothing fails
    ]
    return {
        index: stop
        for stop in sorted(stops, key=lambda place: _order(actions[place]), reverse=True)
        for index, action in enumerate(actions)
        if _order(action) > _order(actions[stop])
    }


def _unreachable(here: str, action: Mapping[str, Any], stop: int, actions: Sequence[Mapping[str, Any]]) -> Concern:
    before = actions[stop].get("name", "")
    return Concern(
        "unreachable",
        here,
        f"The action {action.get('name', '')!r} never runs: {before!r} before it always fails, and stops what follows.",
        f"Mend actions[{stop}], or let its failure not stop the others.",
    )


def _variables(
    here: str,
    action: Mapping[str, Any],
    trigger: str,
    event_types: Sequence[Mapping[str, Any]],
    template_fields: Mapping[str, Collection[str]],
) -> Iterator[Concern]:
    places = [event_type.get("event_type_location_type") for event_type in event_types]
    without_link = bool(places) and all(place in _NO_LINK for place in places)
    names = template_fields.get(str(action.get("action_type", "")), ())
    used: list[tuple[str, str, int | None]] = [
        (f"{here}.{path}", name, line)
        for field in names
        for path, text in texts(field, action.get(field))
        for name, line in templating.variables_of(text).items()
    ]
    used += [(f"{here}.{path}", name, None) for path, name in condition_fields("conditions", action.get("conditions"))]
    for path, name, line in used:
        triggers, reason = _WITHOUT_MEANING.get(name, (frozenset(), ""))
        if trigger in triggers:
            yield Concern(
                "unknown_to_trigger",
                path,
                f"{name} {reason}; this workflow starts at {trigger}.",
                "Leave it out.",
                line,
            )
        elif name in _MEETING_FIELDS and without_link:
            yield Concern(
                "no_meeting_link",
                path,
                f"{name} is empty for meetings in person or by phone, and these are this workflow's only ones.",
                line=line,
            )


def _contents(here: str, action: Mapping[str, Any]) -> Iterator[Concern]:
    kind = action.get("action_type")
    if kind in (EMAIL_TYPE, SMS_TYPE):
        message = action.get("message")
        if isinstance(message, str) and message and _is_blank(message):
            yield Concern(
                "missing_content", f"{here}.message", "The message is blank when it is rendered.", "Write something."
            )
    subject = action.get("subject")
    if kind == EMAIL_TYPE and isinstance(subject, str) and subject and _is_blank(subject):
        yield Concern("missing_content", f"{here}.subject", "The subject is blank when it is rendered.")
    if kind == SMS_TYPE and action.get("recipient", "invitee") == "invitee":
        without_phone = {**sample_context(), "has_phone": False, "invitee_phone": ""}
        if not _asks_for_phone(action.get("conditions") or [], without_phone):
            yield Concern(
                "phone_not_asked_for",
                f"{here}.recipient",
                "The invitee's phone number is needed, and a booking can be made without one; the action then fails.",
                "Add the condition has_phone is true.",
            )


def _asks_for_phone(conditions: Any, without_phone: Mapping[str, Any]) -> bool:
    """Whether one of the groups is about the phone, and does not hold for a booking without one."""
    if not isinstance(conditions, (list, tuple)):
        return False
    return any(
        any("phone" in name for _, name in condition_fields("", [group])) and not holds([group], without_phone)
        for group in conditions
    )


def _is_blank(source: str) -> bool:
    try:
        return not templating.render_text(source, sample_context()).text.strip()
    except templating.TemplateError:
        return False  # an error of its own


def _repeated(index: int, action: Mapping[str, Any], seen: dict[tuple[Any, ...], int]) -> Iterator[Concern]:
    ignored = ("id", "name", "order", "delay_minutes", "on_failure")
    key = tuple((name, repr(value)) for name, value in sorted(action.items()) if name not in ignored)
    if key in seen:
        yield Concern(
            "repeated",
            f"actions[{index}]",
            f"The action {action.get('name', '')!r} does the same as actions[{seen[key]}]: people get it twice.",
            "Remove one of the two, unless a reminder is meant.",
        )
    seen.setdefault(key, index)


def texts(path: str, value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every text in a value of JSON's types, with its path."""
    if isinstance(value, str):
        yield path, value
    elif depth < 20 and isinstance(value, Mapping):
        for name, item in value.items():
            yield from texts(f"{path}.{name}", item, depth + 1)
    elif depth < 20 and isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from texts(f"{path}[{index}]", item, depth + 1)


def condition_fields(path: str, members: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """The fields that conditions read, with the rule's place."""
    if depth > 20 or not isinstance(members, (list, tuple)):
        return
    for index, member in enumerate(members):
        here = f"{path}[{index}]"
        if not isinstance(member, Mapping):
            continue
        if "rules" in member:
            yield from condition_fields(f"{here}.rules", member["rules"], depth + 1)
            continue
        if isinstance(member.get("field"), str):
            yield here, member["field"]
        value = member.get("value")
        if isinstance(value, Mapping) and isinstance(value.get("expr"), str):
            try:
                yield from ((here, name) for name in sorted(compile_expression(value["expr"]).names))
            except ExpressionError:
                continue


def _order(action: Mapping[str, Any]) -> int:
    order = action.get("order", 0)
    return order if isinstance(order, int) else 0
