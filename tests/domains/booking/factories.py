"""Sessions for tests."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from automation import clock
from automation.domains.booking.models import Attendance, Feedback
from automation.domains.payment.models import Payment
from automation.models import Booking, EventType, User


def organizer(**fields: Any) -> User:
    found: User | None = User.objects.filter(email="olga@example.com").first()
    return found or User.objects.create_user(
        "olga@example.com", **{"first_name": "Olga", "timezone": "Europe/Madrid", **fields}
    )


def session(in_hours: float = 72, **fields: Any) -> Booking:
    """A session of an hour that begins in so many hours; its invitee lives in New York."""
    owner = fields.pop("organizer", None) or organizer()
    event_type = EventType.objects.filter(organizer=owner).first() or EventType.objects.create(
        organizer=owner, name="Yoga", duration=60
    )
    start = clock.now().replace(microsecond=0) + dt.timedelta(hours=in_hours)
    defaults: dict[str, Any] = {
        "event_type": event_type,
        "organizer": owner,
        "invitee_name": "Ina",
        "invitee_email": "ina@example.com",
        "invitee_timezone": "America/New_York",
        "start_time": start,
        "end_time": start + dt.timedelta(hours=1),
    }
    return Booking.objects.create(**{**defaults, **fields})


def joins(booking: Booking, role: str = "invitee") -> None:
    Attendance.objects.get_or_create(booking=booking, role=role, defaults={"joined_at": clock.now()})


def thinks(booking: Booking, rating: int = 5) -> None:
    Feedback.objects.create(booking=booking, rating=rating, submitted_at=clock.now())


def sold(booking: Booking, amount: str = "100.00") -> Payment:
    """What the session costs, not paid yet."""
    return Payment.objects.create(
        booking=booking,
        key=f"booking:{booking.pk}",
        practitioner=booking.organizer,
        payer_email=booking.invitee_email,
        amount=Decimal(amount),
        currency="EUR",
        payment_method="pm_card_visa",
    )
