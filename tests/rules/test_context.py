"""Facts about a booking → the context, above all its times."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.rules.context import build_context, custom_fields
from automation.rules.expressions import compile_expression
from automation.rules.fields import FIELDS, Field, FieldGroup, FieldType, find, register, sample_context
from automation.rules.templating import render_text
from tests.rules.facts import at, facts

NOW = at("2026-03-28T20:00:00+00:00")


def test_it_holds_every_registered_field_and_the_answers() -> None:
    context = build_context(facts(), NOW)
    assert set(context) == set(FIELDS) | {"custom_budget", "custom_Company size", "custom_company_size"}
    assert context["custom_budget"] == "10000"
    assert context["custom_company_size"] == "11-50"
    assert context["organizer_name"] == "Ada Lovelace"
    assert context["invitee_domain"] == "enterprise.com"
    assert context["cancel_url"] == "https://weir.example/b/tok3n/cancel/"
    assert context["reschedule_url"] == "https://weir.example/b/tok3n/reschedule/"
    assert context["feedback_url"] == "https://weir.example/b/tok3n/feedback/"
    assert context["duration"] == 30


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("Company size", "company_size"),
        ("What is your budget?", "what_is_your_budget"),
        ("a.b", "a_b"),
        ("_A b_", "a_b"),
        ("Fl\u00e4che m²", "fl\u00e4che_m2"),
        ("日本 語", "日本_語"),
        ("o\u0308l", "\u00f6l"),  # as some keyboards send an ö
        ("class", "class"),
        ("7", "7"),
        (" ", ""),
        ("?", ""),
    ],
)
def test_every_answer_has_a_name_that_templates_and_expressions_can_say(key: str, name: str) -> None:
    fields = custom_fields({key: "yes"})
    assert fields[f"custom_{key}"] == "yes"
    if not name:
        assert len(fields) == 1
        return
    assert set(fields) == {f"custom_{key}", f"custom_{name}"}
    assert render_text(f"{{{{ custom_{name} }}}}", fields).text == "yes"
    assert compile_expression(f"custom_{name} + '!'")(fields) == "yes!"


def test_no_answer_takes_the_place_of_another() -> None:
    fields = custom_fields({"A b": "spoken", "a_b": "named", "A.B": "dotted"})
    assert fields == {"custom_A b": "spoken", "custom_a_b": "named", "custom_A.B": "dotted"}


@given(st.dictionaries(st.text(max_size=8), st.integers(), max_size=5))
def test_every_key_is_there_as_it_was_written(answers: dict[str, int]) -> None:
    fields = custom_fields(answers)
    assert {f"custom_{key}": value for key, value in answers.items()}.items() <= fields.items()
    assert custom_fields(answers) == fields


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_samples_are_of_their_fields_type(field: Field) -> None:
    kinds: dict[FieldType, type] = {FieldType.NUMBER: int, FieldType.BOOLEAN: bool}
    assert type(field.sample) is kinds.get(field.type, str)
    assert field.description.endswith(".")
    assert not field.choices or field.sample in field.choices


def test_a_field_is_registered_once() -> None:
    with pytest.raises(ValueError, match="invitee_name"):
        register(Field("invitee_name", FieldType.TEXT, FieldGroup.BOOKING, "Again.", ""))


def test_answers_are_a_family_of_fields() -> None:
    assert find("custom_anything") is not None
    assert find("custom_anything", custom_keys={"budget"}) is None
    assert find("custom_") is None
    assert find("nothing") is None
    assert set(sample_context()) == set(FIELDS)


@pytest.mark.parametrize(
    ("start", "zone", "expected"),
    [
        # The day before the clocks go forward in Berlin, and the day after: 9:00 is another instant.
        ("2026-03-27T08:00:00+00:00", "Europe/Berlin", (9, 4, "Friday", "2026-03-27", False, True)),
        ("2026-03-30T07:00:00+00:00", "Europe/Berlin", (9, 0, "Monday", "2026-03-30", False, True)),
        ("2026-03-30T06:59:59+00:00", "Europe/Berlin", (8, 0, "Monday", "2026-03-30", False, False)),
        ("2026-03-30T14:59:59+00:00", "Europe/Berlin", (16, 0, "Monday", "2026-03-30", False, True)),
        ("2026-03-30T15:00:00+00:00", "Europe/Berlin", (17, 0, "Monday", "2026-03-30", False, False)),
        ("2026-03-29T10:00:00+00:00", "Europe/Berlin", (12, 6, "Sunday", "2026-03-29", True, False)),
        # The organizer's day, not UTC's.
        ("2026-03-29T23:30:00+00:00", "Asia/Tokyo", (8, 0, "Monday", "2026-03-30", False, False)),
        ("2026-03-30T03:30:00+00:00", "America/New_York", (23, 6, "Sunday", "2026-03-29", True, False)),
        # Nobody's zone counts as UTC.
        ("2026-03-30T09:00:00+00:00", "Mars/Olympus", (9, 0, "Monday", "2026-03-30", False, True)),
        ("2026-03-30T09:00:00+00:00", "../../etc/passwd", (9, 0, "Monday", "2026-03-30", False, True)),
        ("2026-03-30T09:00:00+00:00", "Europe", (9, 0, "Monday", "2026-03-30", False, True)),
        ("2026-03-30T09:00:00+00:00", "a\x00b", (9, 0, "Monday", "2026-03-30", False, True)),
        ("2026-03-30T09:00:00+00:00", "", (9, 0, "Monday", "2026-03-30", False, True)),
    ],
)
def test_times_are_on_the_organizers_clock(start: str, zone: str, expected: tuple[Any, ...]) -> None:
    moment = at(start)
    context = build_context(
        facts(start_time=moment, end_time=moment + timedelta(minutes=30), organizer_timezone=zone), NOW
    )
    names = ("booking_hour", "booking_day_of_week", "booking_day_name", "booking_date")
    assert tuple(context[name] for name in (*names, "is_weekend", "is_business_hours")) == expected


@pytest.mark.parametrize(
    ("created", "now", "today"),
    [
        ("2026-03-28T00:10:00+01:00", "2026-03-28T23:50:00+01:00", True),
        # One UTC day, two days in Berlin.
        ("2026-03-28T22:50:00+00:00", "2026-03-28T23:10:00+00:00", False),
        ("2026-03-27T23:10:00+00:00", "2026-03-28T22:50:00+00:00", True),
    ],
)
def test_created_today_is_the_organizers_day(created: str, now: str, today: bool) -> None:
    assert build_context(facts(created_at=at(created)), at(now))["booking_created_today"] is today


def test_a_meeting_across_a_change_of_clocks_lasts_what_it_lasts() -> None:
    context = build_context(
        facts(start_time=at("2026-03-29T00:30:00+00:00"), end_time=at("2026-03-29T02:30:00+00:00")), NOW
    )
    assert context["duration"] == 120
    assert (context["start_time"].hour, context["end_time"].hour) == (1, 4)


@pytest.mark.parametrize("phone", ["", "   "])
def test_blank_is_not_there(phone: str) -> None:
    context = build_context(facts(invitee_phone=phone, meeting_link="", access_token="", invitee_email="nobody"), NOW)
    assert (context["has_phone"], context["has_meeting_link"], context["cancel_url"]) == (False, False, "")
    assert context["invitee_domain"] == ""


def test_a_time_without_a_zone_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="end_time has no time zone"):
        build_context(facts(end_time=datetime(2026, 3, 30, 10)), NOW)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 1, 1)))
def test_business_hours_lie_within_the_working_week(naive: datetime) -> None:
    start = at(naive.isoformat() + "+00:00")
    context = build_context(facts(start_time=start, end_time=start + timedelta(minutes=30)), NOW)
    local = context["start_time"]
    assert local == start
    assert context["is_business_hours"] is (local.isoweekday() <= 5 and 9 <= local.hour + local.minute / 60 < 17)
    assert context["is_weekend"] is (context["booking_day_name"] in ("Saturday", "Sunday"))
