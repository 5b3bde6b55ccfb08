"""Field validators shared by the models."""

from __future__ import annotations

from zoneinfo import available_timezones

from django.core.exceptions import ValidationError


def validate_timezone(value: str) -> None:
    """Refuses a name that the IANA time zone database does not know."""
    if value not in available_timezones():
        raise ValidationError(f"{value!r} is not a time zone; expected an IANA name such as 'Europe/Paris'")
