"""Bookings for the tests of rules."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automation.rules.context import BookingFacts

TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("conditions.json").read_text(encoding="utf-8"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def facts(**changes: Any) -> BookingFacts:
    """A booking on Monday, 30 March 2026, 09:30 in Berlin, the day after the clocks went forward."""
    known: dict[str, Any] = {
        "booking_id": "b-1",
        "status": "confirmed",
        "start_time": at("2026-03-30T07:30:00+00:00"),
        "end_time": at("2026-03-30T08:00:00+00:00"),
        "created_at": at("2026-03-28T12:00:00+00:00"),
        "invitee_name": "José Álvarez",
        "invitee_email": "Jo@Enterprise.com",
        "invitee_phone": "+34 600 123 456",
        "invitee_timezone": "Europe/Madrid",
        "attendee_count": 3,
        "custom_answers": {"budget": "10000", "Company size": "11-50"},
        "meeting_link": "https://meet.example.com/abc",
        "meeting_id": "812",
        "meeting_password": "s3cret",
        "cancellation_reason": "Ill",
        "event_type_id": "e-1",
        "event_type_name": "Discovery Call",
        "event_type_slug": "discovery-call",
        "event_type_description": "A first conversation.",
        "event_type_duration": 30,
        "event_type_location_type": "video",
        "event_type_max_attendees": 5,
        "organizer_id": "o-1",
        "organizer_email": "ada@weir.example",
        "organizer_first_name": "Ada",
        "organizer_last_name": "Lovelace",
        "organizer_timezone": "Europe/Berlin",
        "organizer_company": "Analytical Engines",
        "public_base_url": "https://weir.example/",
        "access_token": "tok3n",
    }
    return BookingFacts(**{**known, **changes})


def rule(field: str, operator: str, value: Any = None) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def group(operator: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"operator": operator, "rules": list(rules)}
