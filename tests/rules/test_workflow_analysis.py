"""What will not do what its author meant."""

from __future__ import annotations

from typing import Any

import pytest

from automation.rules.workflow_analysis import Concern, analyse_workflow
from tests.rules.facts import group, rule

TEMPLATES = {"send_email": ["subject", "message"], "send_sms": ["message"], "webhook": ["webhook_data"]}
MAIL = {"name": "Mail", "action_type": "send_email", "subject": "Hi", "message": "Hello", "order": 0}


def concerns(*actions: dict[str, Any], trigger: str = "booking_created", **options: Any) -> list[Concern]:
    content = {"trigger": trigger, "actions": [{"id": str(i), **action} for i, action in enumerate(actions)]}
    return analyse_workflow(content, template_fields=TEMPLATES, **options)


def codes(*actions: dict[str, Any], **options: Any) -> list[tuple[str, str]]:
    return [(concern.code, concern.path) for concern in concerns(*actions, **options)]


def test_it_is_silent_about_a_good_workflow() -> None:
    conditions = [group("AND", rule("invitee_domain", "equals", "enterprise.com"))]
    assert codes({**MAIL, "conditions": conditions}) == []


def test_it_finds_actions_that_no_booking_reaches() -> None:
    never = [group("AND", rule("is_weekend", "is_true"), rule("is_business_hours", "is_true"))]
    assert codes({**MAIL, "conditions": never}) == [
        ("contradiction", "actions[0].conditions[0]"),
        ("unreachable", "actions[0]"),
    ]


@pytest.mark.parametrize(
    ("trigger", "status", "found"),
    [
        ("booking_created", "cancelled", True),
        ("booking_created", "confirmed", False),
        ("booking_cancelled", "cancelled", False),
        ("booking_cancelled", "confirmed", True),
        ("before_meeting", "rescheduled", True),
    ],
)
def test_it_knows_which_statuses_a_trigger_meets(trigger: str, status: str, found: bool) -> None:
    action = {**MAIL, "conditions": [group("AND", rule("booking_status", "equals", status))]}
    assert (("unreachable", "actions[0]") in codes(action, trigger=trigger)) is found


def test_it_knows_the_event_types_of_the_workflow() -> None:
    action = {**MAIL, "conditions": [group("AND", rule("event_type_name", "equals", "Workshop"))]}
    call, workshop = {"event_type_name": "Call"}, {"event_type_name": "Workshop"}
    assert ("unreachable", "actions[0]") in codes(action, event_types=[call])
    assert codes(action, event_types=[call, workshop]) == []
    assert codes(action, event_types=[workshop]) == [("always_true", "actions[0].conditions[0]")]


def test_what_follows_an_action_that_always_fails_and_stops_is_never_reached() -> None:
    first, second = {**MAIL, "on_failure": "stop"}, {**MAIL, "subject": "Second", "order": 1}
    assert codes(first, second, broken=[0]) == [("unreachable", "actions[1]")]
    assert codes(first, {**second, "order": 0}, broken=[0]) == []
    assert codes({**first, "on_failure": "continue"}, second, broken=[0]) == []
    conditional = {**first, "conditions": [group("AND", rule("has_phone", "is_true"))]}
    assert codes(conditional, second, broken=[0]) == []


def test_it_finds_variables_that_mean_nothing_at_the_trigger() -> None:
    (concern,) = concerns({**MAIL, "message": "Because:\n{{ cancellation_reason }}"})
    assert (concern.code, concern.path, concern.line) == ("unknown_to_trigger", "actions[0].message", 2)
    assert codes({**MAIL, "message": "{{ cancellation_reason }}"}, trigger="booking_cancelled") == []
    assert codes({**MAIL, "message": "{{ cancel_url }}"}, trigger="booking_cancelled")
    assert codes({**MAIL, "message": "{{ feedback_url }}"}, trigger="before_meeting")
    assert codes({**MAIL, "message": "{{ feedback_url }}"}, trigger="booking_completed") == []
    hook = {"name": "H", "action_type": "webhook", "webhook_data": {"a": [{"b": "{{ cancellation_reason }}"}]}}
    assert codes(hook) == [("unknown_to_trigger", "actions[0].webhook_data.a[0].b")]
    ruled = {**MAIL, "conditions": [group("AND", rule("cancellation_reason", "is_not_empty"))]}
    assert codes(ruled) == [("unknown_to_trigger", "actions[0].conditions[0].rules[0]")]


def test_it_finds_links_of_meetings_that_have_none() -> None:
    action = {**MAIL, "message": "{{ meeting_link }}"}
    assert codes(action, event_types=[{"event_type_location_type": "phone"}]) == [
        ("no_meeting_link", "actions[0].message")
    ]
    assert codes(action, event_types=[{"event_type_location_type": "video"}]) == []
    assert codes(action) == []


def test_it_finds_messages_that_say_nothing() -> None:
    assert codes({**MAIL, "message": "{% if false %}Hello{% endif %}  "}) == [("missing_content", "actions[0].message")]
    assert codes({**MAIL, "subject": "  "}) == [("missing_content", "actions[0].subject")]


def test_it_asks_for_the_phone_number_that_a_text_needs() -> None:
    text = {"name": "Text", "action_type": "send_sms", "message": "Hi", "recipient": "invitee"}
    assert codes(text) == [("phone_not_asked_for", "actions[0].recipient")]
    assert codes({**text, "conditions": [group("AND", rule("has_phone", "is_true"))]}) == []
    assert codes({**text, "conditions": [group("AND", rule("invitee_phone", "is_not_empty"))]}) == []
    assert codes({**text, "conditions": [group("AND", rule("has_phone", "is_false"))]}) == [
        ("phone_not_asked_for", "actions[0].recipient")
    ]
    assert codes({**text, "recipient": "organizer"}) == []


def test_it_finds_an_action_that_is_there_twice() -> None:
    assert codes(MAIL, {**MAIL, "name": "Again", "order": 1}) == [("repeated", "actions[1]")]
    assert codes(MAIL, {**MAIL, "recipient": "organizer"}) == []


def test_it_tells_when_nothing_is_on() -> None:
    assert codes({**MAIL, "is_active": False}) == [("nothing_active", "actions")]


@pytest.mark.parametrize(
    "action", [{}, {"conditions": 1}, {"conditions": [1, {"rules": 1}]}, {"message": 1}, {"order": "x"}]
)
def test_a_draft_of_any_shape_does_not_make_it_raise(action: dict[str, Any]) -> None:
    for kind in ("send_email", "send_sms", "webhook", "nonsense"):
        analyse_workflow({"actions": [{**action, "action_type": kind}, None]}, template_fields=TEMPLATES)
