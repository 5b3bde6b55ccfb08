"""Values in rows: what goes in comes out, as the reader's annotation says; what cannot go in says where it is."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.durable import failures, payloads
from automation.durable.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    RetryState,
    SkippedError,
    TimeoutError,
    TimeoutType,
)
from automation.durable.payloads import PayloadError

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Inner:
    when: dt.datetime
    amount: decimal.Decimal
    colour: Colour | None = None


@dataclass
class Outer:
    id: uuid.UUID
    inner: list[Inner]
    names: dict[str, tuple[int, str]]
    wait: dt.timedelta
    raw: bytes
    tags: set[str] = field(default_factory=set)
    note: str | None = None


inners = st.builds(
    Inner,
    when=st.datetimes(timezones=st.just(dt.UTC)),
    amount=st.decimals(allow_nan=False, allow_infinity=False),
    colour=st.none() | st.sampled_from(Colour),
)
outers = st.builds(
    Outer,
    id=st.uuids(),
    inner=st.lists(inners, max_size=3),
    names=st.dictionaries(st.text(), st.tuples(st.integers(), st.text()), max_size=3),
    wait=st.integers(-(10**9), 10**9).map(lambda seconds: dt.timedelta(seconds=seconds)),
    raw=st.binary(),
    tags=st.sets(st.text(), max_size=3),
    note=st.none() | st.text(),
)


@given(plain)
def test_json_s_own_types_come_back_as_they_were(value: Any) -> None:
    assert payloads.decode(payloads.encode(value)) == value


@given(outers)
def test_a_dataclass_comes_back_whole(value: Outer) -> None:
    assert payloads.decode(payloads.encode(value), Outer) == value


@given(st.text() | st.just("\x00") | st.just("\ud800"))
def test_any_text_can_be_stored(value: str) -> None:
    """Databases refuse NUL and lone surrogates; neither is in what is stored."""
    text = payloads.encode([value])
    assert "\x00" not in text
    text.encode("ascii")
    assert payloads.decode(text) == [value]


def _endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, {"b": object()}]}, "thing['a'][1]['b']"),
        ([float("nan")], "thing[0]"),
        ({(1, 2): 3}, "key (1, 2) is a tuple"),
        (_endless(), "contains itself"),
        (Inner(dt.datetime.now(dt.UTC), decimal.Decimal(1), object()), "thing.colour"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_written_says_where_it_is(value: Any, text: str) -> None:
    with pytest.raises(PayloadError) as caught:
        payloads.encode(value, "thing")
    assert text in str(caught.value)


def test_what_does_not_fit_its_annotation_says_so() -> None:
    with pytest.raises(PayloadError, match="Inner: expected an object, got list"):
        payloads.decode("[1]", Inner)
    with pytest.raises(PayloadError, match="missing 1 required positional argument: 'amount'"):
        payloads.decode('{"when":"2026-01-01T00:00:00+00:00"}', Inner)


def _raised() -> ApplicationError:
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ApplicationError("outer", {"a": 1}, object(), type="Odd", non_retryable=True) from error
    except ApplicationError as error:
        return error


def test_an_error_comes_back_with_its_cause_details_and_stack() -> None:
    found = failures.decode(failures.encode(_raised()))
    assert isinstance(found, ApplicationError)
    assert (found.message, found.type, found.non_retryable) == ("outer", "Odd", True)
    assert found.details[0] == {"a": 1}
    assert "object object" in found.details[1]
    assert isinstance(found.__cause__, ApplicationError)
    assert found.__cause__.type == "KeyError"
    assert "_raised" in found.failure["stack"]


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("late", type=TimeoutType.HEARTBEAT, last_heartbeat_details=[1]),
        CancelledError("stop", 1),
        SkippedError("skipped"),
        failures.activity_error(3, "a", "w", ValueError("x"), RetryState.TIMEOUT),
    ],
)
def test_each_kind_of_failure_keeps_its_kind(error: BaseException) -> None:
    found = failures.decode(failures.encode(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    if isinstance(error, ActivityError):
        assert isinstance(found, ActivityError)
        assert (found.activity_type, found.retry_state) == ("a", RetryState.TIMEOUT)


def test_an_endless_chain_of_causes_is_cut() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert len(failures.encode(first)) < 5000


def test_a_huge_message_is_cut() -> None:
    assert len(failures.encode(ValueError("x" * 10**6))) < 10_000
