"""Backends, phone numbers and segments."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from automation.providers.sms import (
    BadPhone,
    SmsMessage,
    count_segments,
    get_backend,
    parse_phone,
    region_of_timezone,
    send_sms,
)
from automation.providers.sms.console import ConsoleBackend
from automation.providers.sms.memory import MemoryBackend

MESSAGE = SmsMessage(to="+34600123456", text="Hello", idempotency_key="k:1")


def test_the_backend_is_the_one_that_settings_name(settings: Any) -> None:
    assert isinstance(get_backend(), ConsoleBackend)
    settings.SMS_BACKEND = "automation.providers.sms.memory.MemoryBackend"
    assert isinstance(get_backend(), MemoryBackend)


@pytest.mark.parametrize("path", ["automation.providers.sms.nothing.Backend", "automation.errors.WeirError", "x"])
def test_a_backend_that_is_none_is_named(path: str, settings: Any) -> None:
    settings.SMS_BACKEND = path
    with pytest.raises(ImproperlyConfigured, match="SMS_BACKEND="):
        send_sms(MESSAGE)


def test_the_console_gives_one_id_to_all_attempts() -> None:
    assert send_sms(MESSAGE) == send_sms(MESSAGE)


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("Europe/Madrid", "ES"),
        ("America/New_York", "US"),
        ("US/Eastern", "US"),
        ("Asia/Calcutta", "IN"),
        ("Europe/Kiev", "UA"),
        ("Europe/London", "GB"),
        ("Africa/Lagos", "NG"),
        ("UTC", None),
        ("Etc/GMT+5", None),
        ("", None),
        ("Mars/Olympus", None),
    ],
)
def test_a_zone_names_a_country(zone: str, region: str | None) -> None:
    assert region_of_timezone(zone) == region


@pytest.mark.parametrize(
    ("text", "zone", "e164"),
    [
        ("+34 600 123 456", "", "+34600123456"),
        ("+34-600-123-456", "America/New_York", "+34600123456"),
        ("600 123 456", "Europe/Madrid", "+34600123456"),
        ("(212) 555-2368", "America/New_York", "+12125552368"),
        ("07911 123456", "Europe/London", "+447911123456"),
        ("0034 600 123 456", "Europe/Berlin", "+34600123456"),
        ("011 34 600 123 456", "America/New_York", "+34600123456"),
        ("＋34600123456", "", "+34600123456"),
        ("+1 555 123 4567", "", "+15551234567"),
    ],
)
def test_numbers_become_e164(text: str, zone: str, e164: str) -> None:
    assert parse_phone(text, zone).e164 == e164


@pytest.mark.parametrize(
    ("text", "zone", "word"),
    [
        ("600123456", "UTC", "no country code"),
        ("600123456", "", "no country code"),
        ("call me", "Europe/Madrid", "not a phone number"),
        ("", "Europe/Madrid", "not a phone number"),
        ("12", "Europe/Madrid", "not a phone number"),
        ("+", "", "not a phone number"),
        ("+12", "", "phone number"),
        ("+999123456789", "", "not a phone number"),
        ("9" * 5000, "Europe/Madrid", "phone number"),
    ],
)
def test_what_is_no_number_is_refused(text: str, zone: str, word: str) -> None:
    with pytest.raises(BadPhone, match=word):
        parse_phone(text, zone)


def test_a_number_in_no_plan_is_passed_on_with_a_note() -> None:
    assert "no numbering plan" in parse_phone("+15551234567").note
    assert parse_phone("+34600123456").note == ""


@given(st.text(max_size=40), st.sampled_from(["Europe/Madrid", "UTC", "America/New_York"]))
def test_any_text_is_e164_or_refused(text: str, zone: str) -> None:
    try:
        phone = parse_phone(text, zone)
    except BadPhone:
        return
    assert phone.e164[0] == "+"
    assert phone.e164[1:].isascii()
    assert phone.e164[1:].isdigit()


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", "GSM-7", 0, 1),
        ("x" * 160, "GSM-7", 160, 1),
        ("x" * 161, "GSM-7", 161, 2),
        ("x" * 306, "GSM-7", 306, 2),
        ("x" * 307, "GSM-7", 307, 3),
        ("€" * 80, "GSM-7", 160, 1),
        ("x" * 152 + "€" + "x" * 152, "GSM-7", 306, 3),  # the escape pair moves to the next part
        ("ñ@£Δ", "GSM-7", 4, 1),
        ("á" * 70, "UCS-2", 70, 1),
        ("á" * 71, "UCS-2", 71, 2),
        ("á" * 134, "UCS-2", 134, 2),
        ("😀" * 35, "UCS-2", 70, 1),
        ("á" * 66 + "😀" + "á" * 66, "UCS-2", 134, 3),  # the surrogate pair moves to the next part
        ("`", "UCS-2", 1, 1),
    ],
)
def test_segments(text: str, encoding: str, units: int, segments: int) -> None:
    counted = count_segments(text)
    assert (counted.encoding, counted.units, counted.segments) == (encoding, units, segments)
