"""Phone numbers as people type them, turned into E.164.

A number with its country code (`+34 600 123 456`) stands for itself. One without needs a region, and a booking knows
none: it is derived from the recipient's time zone, which belongs to one country in the IANA database's zone.tab
(`Europe/Madrid` is ES; older names such as `US/Eastern` are followed to the zone they stand for). A zone without a
country, such as `UTC`, gives no region, and the number is then refused with a request for its country code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import ClassVar

import phonenumbers

from automation.errors import WeirError


class BadPhone(WeirError):
    """The text is no phone number that can be dialled from anywhere."""

    code: ClassVar[str] = "bad_phone"
    status: ClassVar[int] = 400


@dataclass(frozen=True)
class Phone:
    """`e164` as in +34600123456; `note` says what is doubtful about it, else it is empty."""

    e164: str
    note: str = ""


def parse_phone(text: str, timezone: str = "") -> Phone:
    """`text` as E.164, national numbers read as of the country of `timezone`. Raises BadPhone.

    A number given with its country code is passed on, with a note, even when its country's numbering plan does not
    know it: plans change, and the provider is the judge.
    """
    shown = text.strip()[:40]
    international = text.strip().startswith(("+", "＋"))
    region = None if international else region_of_timezone(timezone)
    if not international and region is None:
        zone = f"the time zone {timezone!r}" if timezone else "a missing time zone"
        raise BadPhone(f"The phone number {shown!r} has no country code, and {zone} names no country; write +… .")
    try:
        number = phonenumbers.parse(text.strip(), region)
    except phonenumbers.NumberParseException as error:
        raise BadPhone(f"{shown!r} is not a phone number: {str(error).rstrip('.')}.") from error
    e164: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if phonenumbers.is_valid_number(number):
        return Phone(e164)
    if not international and not phonenumbers.is_possible_number(number):
        raise BadPhone(f"{shown!r} is not a phone number of {region}; write it with its country code.")
    if not 7 <= len(e164) - 1 <= 15:
        raise BadPhone(f"{shown!r} has {len(e164) - 1} digits; a phone number with its country code has 7 to 15.")
    return Phone(e164, f"{e164} is in no numbering plan that we know")


def region_of_timezone(timezone: str) -> str | None:
    """The country (ISO 3166, two letters) of an IANA zone, or None."""
    zones, links = _zones()
    return zones.get(timezone) or zones.get(links.get(timezone, ""))


@lru_cache(maxsize=1)
def _zones() -> tuple[dict[str, str], dict[str, str]]:
    """Zone → country, and old name → zone, from the tzdata package."""
    data = resources.files("tzdata").joinpath("zoneinfo")
    zones: dict[str, str] = {}
    for line in data.joinpath("zone.tab").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            zones[zone] = country
    links: dict[str, str] = {}
    for line in data.joinpath("tzdata.zi").read_text("utf-8").splitlines():
        if line.startswith("L "):
            _, target, name = line.split()
            links[name] = target
    return zones, links
