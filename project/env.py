"""Typed reads of the environment: a bad value ends the start with one line that names the variable."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Never, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
_CRON = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


class BadEnvironment(SystemExit):
    """Raised for a value that cannot be used; its text is the one line the operator sees."""


EMBEDDED_REDIS = "redis.url"
"""The file under var/ in which `make up` says where its Redis is, while it runs."""


def fail(name: str, value: str, expected: str) -> Never:
    raise BadEnvironment(f"weir: {name}={value!r} is not valid: expected {expected}")


def _read(name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return parse(raw)
    except ValueError:
        fail(name, raw, expected)


def is_set(name: str) -> bool:
    """Whether the variable is there, and not blank."""
    return bool(os.environ.get(name, "").strip())


def text(name: str, default: str = "") -> str:
    """The variable's text, or `default` where it is unset or blank."""
    return _read(name, default, str, "text")


def label(name: str, default: str, *, longest: int = 64) -> str:
    """A name for queues and keys: no blanks and no commas, which part one name from another."""

    def parse(raw: str) -> str:
        if len(raw) > longest or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]*", raw):
            raise ValueError(raw)
        return raw

    return _read(name, default, parse, f"at most {longest} letters, digits, dots, dashes, underscores and colons")


def directory(name: str, default: Path) -> Path:
    """A directory, which is made where it is missing. Ends the start where it cannot be."""
    path = _read(name, default, Path, "a path")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(name, str(path), f"a directory that is there or can be made ({error.strerror})")
    return path


def boolean(name: str, default: bool) -> bool:
    def parse(raw: str) -> bool:
        if raw.lower() in _TRUE:
            return True
        if raw.lower() in _FALSE:
            return False
        raise ValueError(raw)

    return _read(name, default, parse, "true or false")


def integer(name: str, default: int, *, low: int = 0, high: int = 2**31 - 1) -> int:
    def parse(raw: str) -> int:
        value = int(raw)
        if not low <= value <= high:
            raise ValueError(raw)
        return value

    return _read(name, default, parse, f"a whole number from {low} to {high}")


def seconds(name: str, default: float, *, low: float = 0.0, high: float = 86_400.0) -> float:
    def parse(raw: str) -> float:
        value = float(raw)
        if not low <= value <= high:  # also refuses NaN, which compares false
            raise ValueError(raw)
        return value

    return _read(name, default, parse, f"seconds from {low:g} to {high:g}")


def words(name: str, default: list[str]) -> list[str]:
    """A comma-separated list; blanks are dropped."""
    return _read(name, default, lambda raw: [part.strip() for part in raw.split(",") if part.strip()], "a,b,c")


def url(name: str, default: str, schemes: tuple[str, ...]) -> str:
    """A URL of one of `schemes`; its port, where given, must be a port."""

    def parse(raw: str) -> str:
        parts = urlsplit(raw)
        if parts.scheme not in schemes:
            raise ValueError(raw)
        _ = parts.port  # raises ValueError for 'host:port' that is no port
        return raw

    return _read(name, default, parse, " or ".join(f"{scheme}://…" for scheme in schemes))


def choice(name: str, default: str, options: tuple[str, ...]) -> str:
    def parse(raw: str) -> str:
        if raw not in options:
            raise ValueError(raw)
        return raw

    return _read(name, default, parse, "one of " + ", ".join(options))


def cron(name: str, default: str) -> str:
    """When something happens, as cron has it ('minute hour day month weekday', in UTC), or 'off'."""

    def parse(raw: str) -> str:
        from celery.schedules import crontab

        fields = raw.lower().split()
        if fields == ["off"]:
            return "off"
        if len(fields) != 5:
            raise ValueError(raw)
        try:
            crontab(**dict(zip(_CRON, fields, strict=True)))
        except Exception as error:  # its own ParseException is no ValueError
            raise ValueError(raw) from error
        return " ".join(fields)

    return _read(name, default, parse, "'minute hour day month weekday' in UTC, such as '15 2 * * *', or 'off'")


def rate(name: str, default: str) -> str:
    """Something per time, such as '60/min' (s, min, h or d), or 'off'."""

    def parse(raw: str) -> str:
        if not re.fullmatch(r"off|[1-9][0-9]{0,8}/(s|sec|second|m|min|minute|h|hour|d|day)", raw):
            raise ValueError(raw)
        return raw

    return _read(name, default, parse, "a rate such as '60/min' (s, min, h or d), or 'off'")
