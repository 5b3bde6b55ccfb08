"""What annotations make of JSON: each kind of type, alternatives, and where it does not fit."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict, TypeVar

import pydantic
import pytest

from automation.durable import payloads, workflow
from automation.durable.exceptions import WorkflowFailureError
from automation.durable.payloads import PayloadError
from automation.durable.testing import WorkflowEnvironment
from automation.models import Booking

Item = TypeVar("Item")
InvoiceId = NewType("InvoiceId", uuid.UUID)
ID = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
MOMENT = dt.datetime(2026, 3, 1, 9, 30, 0, 5, tzinfo=dt.UTC)


class Kind(enum.StrEnum):
    CARD = "card"
    CASH = "cash"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Money:
    amount: decimal.Decimal
    currency: str = "EUR"


@dataclass
class Line:
    money: Money
    tags: set[str] = field(default_factory=set)
    parent: Optional[Line] = None  # noqa: UP045 (as older code writes it)


@dataclass
class Card:
    number: str
    kind: Literal["card"] = "card"


@dataclass
class Transfer:
    number: str
    bank: str


@dataclass
class Page(Generic[Item]):
    items: list[Item]
    following: Item | None = None


class Place(NamedTuple):
    at: dt.date
    price: decimal.Decimal = decimal.Decimal(0)


class Person(TypedDict):
    name: str
    born: NotRequired[dt.date]


class Model(pydantic.BaseModel):
    id: uuid.UUID
    lines: list[Money] = []


CASES: list[tuple[Any, Any]] = [
    (ID, uuid.UUID),
    (ID, InvoiceId),
    (ID, Annotated[uuid.UUID, ["does not hash"]]),
    (decimal.Decimal("0.10"), decimal.Decimal),
    (MOMENT, dt.datetime),
    (MOMENT.date(), dt.date),
    (MOMENT.time(), dt.time),
    (dt.timedelta(days=3, microseconds=7), dt.timedelta),
    (b"\x00\xff", bytes),
    (Kind.CARD, Kind),
    (Level.HIGH, Level),
    (Line(Money(decimal.Decimal("1.50")), {"a"}, Line(Money(decimal.Decimal(2)))), Line),
    ([Money(decimal.Decimal(1))], list[Money]),
    ([Money(decimal.Decimal(1))], Sequence[Money]),
    ((Money(decimal.Decimal(1)),), tuple[Money, ...]),
    ((1, ID, "x"), tuple[int, uuid.UUID, str]),
    ({1: MOMENT}, dict[int, dt.datetime]),
    ({Kind.CASH: 1}, dict[Kind, int]),
    ({Level.LOW: 1.0}, Mapping[Level, float]),
    ({True: 1, False: 0}, dict[bool, int]),
    ({"a": [Kind.CARD, None]}, dict[str, list[Kind | None]]),
    (frozenset({ID}), frozenset[uuid.UUID]),
    (Place(dt.date(2026, 1, 1), decimal.Decimal(3)), Place),
    ({"name": "Ada", "born": dt.date(1815, 12, 10)}, Person),
    (Page([Money(decimal.Decimal(1))], Money(decimal.Decimal(2))), Page[Money]),
    (Model(id=ID, lines=[Money(decimal.Decimal(1))]), Model),
    ([Model(id=ID)], list[Model]),
    (None, Money | None),
    (Money(decimal.Decimal(1)), Money | None),
    (Transfer("1", "x"), Card | Transfer),
    (Card("1"), Transfer | Card),
    (Model(id=ID), Money | Model),
    (MOMENT.date(), dt.datetime | dt.date),
    (MOMENT, dt.date | dt.datetime),
    ("plain", uuid.UUID | str),
    (ID, uuid.UUID | str),
    (5, uuid.UUID | int),
    ([1, 2], list[uuid.UUID] | list[int]),
    ("b", Literal["a", "b"] | uuid.UUID),
    ({"any": [1]}, Any),
    ({"any": [1]}, Money | dict),
    ([1], object),
]


@pytest.mark.parametrize(("value", "hint"), CASES, ids=lambda one: str(one)[:40])
def test_what_goes_in_comes_out(value: Any, hint: Any) -> None:
    found = payloads.decode(payloads.encode(value), hint)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "hint", "message"),
    [
        ('"x"', uuid.UUID, "'x' is not a UUID"),
        ("true", decimal.Decimal, "True is not a Decimal"),
        ('{"money":{"amount":"x"}}', Line, "Line.money: Money.amount: 'x' is not a Decimal"),
        ('{"money":{"amount":1},"parent":{"money":[]}}', Line, "Line.parent: Line.money: Money: expected an object"),
        ('[{"amount":1},{"amount":null,"currency":"x"},{}]', list[Money], r"\[2\]: Money: .*missing 1 required"),
        ('{"k":["x"]}', dict[str, tuple[uuid.UUID]], r"\['k'\]: \[0\]: 'x' is not a UUID"),
        ('{"k":1}', dict[int, int], r"\['k'\]: 'k' is not a int"),
        ('"gold"', Kind, "'gold' is not one of Kind: 'card', 'cash'"),
        ('"abc"', list[uuid.UUID], "'abc' is not a list"),
        ("[1]", dict[str, uuid.UUID], r"\[1\] is not an object"),
        ('["2026-01-01",1,2]', Place, "is not a Place of 2"),
        ("[1]", uuid.UUID | Money, r"is not any of the alternatives \(.*not a UUID; Money: expected an object"),
        ('{"id":"x"}', Model, "Model: 1 validation error"),
        ('{"name":"Ada","born":"soon"}', Person, "Person.born: 'soon' is not a date"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_where(text: str, hint: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        payloads.decode(text, hint)


def test_none_fits_everywhere_and_fields_may_be_missing_or_new() -> None:
    for hint in (uuid.UUID, Money, Kind, Place, Person, Model, list[Money], dict[str, Money], tuple[uuid.UUID, int]):
        assert payloads.decode("null", hint) is None
    assert payloads.decode('{"amount":"1","added_later":true}', Money) == Money(decimal.Decimal(1))
    assert payloads.decode('["2026-01-01"]', Place) == Place(dt.date(2026, 1, 1))


def test_a_row_of_the_database_is_refused_with_advice() -> None:
    with pytest.raises(PayloadError, match=r"booking\[0\]: a Booking is a row of the database: give its id"):
        payloads.encode([Booking()], "booking")


def test_a_value_that_cannot_be_written_fails_at_the_call() -> None:
    @workflow.defn(name="testing_refused", failure_exception_types=[PayloadError])
    class Refused:
        @workflow.run
        async def run(self) -> str:
            return str(
                await workflow.execute_activity(
                    "flows_echo", {"fine": [1], "odd": [2, object()]}, start_to_close_timeout=dt.timedelta(seconds=9)
                )
            )

    with WorkflowEnvironment.start_time_skipping() as env:
        with pytest.raises(WorkflowFailureError, match=r"activity 'flows_echo'\[0\]\['odd'\]\[1\]: a object cannot be"):
            env.run(Refused.run)
        with pytest.raises(PayloadError, match=r"arguments of workflow 'testing_refused'\[1\]: a set_iterator cannot"):
            env.start(Refused.run, 1, iter({2}))
