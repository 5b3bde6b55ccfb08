"""Field validators shared by the models."""

from __future__ import annotations

from zoneinfo import available_timezones

from django.core.exceptions import ValidationError


def validate_timezone(value: str) -> None:
    """Refuses a name that the IANA time zone database does not know."""
    if value not in available_timezones():
        raise ValidationError(f"{value!r} is not a time zone; expected an IANA name such as 'Europe/Paris'")


MAX_TAGS = 20
MAX_TAG_LENGTH = 50


def validate_tags(value: object) -> None:
    """Refuses what is no list of at most 20 short texts."""
    if not isinstance(value, list) or not all(isinstance(tag, str) and tag.strip() for tag in value):
        raise ValidationError("Expected a list of texts, none of them empty.")
    if long := [tag for tag in value if len(tag) > MAX_TAG_LENGTH]:
        raise ValidationError(f"The tag {long[0][:MAX_TAG_LENGTH]!r}… has more than {MAX_TAG_LENGTH} characters.")
    if len(value) > MAX_TAGS:
        raise ValidationError(f"There are {len(value)} tags; at most {MAX_TAGS} are kept.")
