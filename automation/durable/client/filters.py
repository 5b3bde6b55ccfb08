"""The SDK's list filter: WorkflowType = 'X' AND (ExecutionStatus IN ('Running', 'Failed') OR StartTime > '2027-01-01').

filter     := condition [GROUP BY ExecutionStatus] [ORDER BY field [ASC | DESC], …]
condition  := comparisons joined with AND and OR, in parentheses where wanted
comparison := field (= | != | < | <= | > | >=) value | field [NOT] IN (value, …) | field BETWEEN value AND value
              | field [NOT] STARTS_WITH value | field IS [NOT] NULL

Fields are those of FIELDS below; every other name is a search attribute. Values are texts in quotes, numbers, true and
false. Times are texts in ISO 8601; without an offset, in UTC.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from automation.errors import InvalidInput
from automation.models import ExecutionStatus, WorkflowExecution

FIELDS: Mapping[str, str] = {
    "WorkflowType": "definition",
    "WorkflowId": "business_id",
    "RunId": "id",
    "ExecutionStatus": "status",
    "StartTime": "created_at",
    "ExecutionTime": "started_at",
    "CloseTime": "completed_at",
    "TaskQueue": "queue",
    "ParentWorkflowId": "parent__business_id",
    "ParentRunId": "parent_id",
}
_TIMES = ("StartTime", "ExecutionTime", "CloseTime")
_RUNS = ("RunId", "ParentRunId")

STATUS_NAMES: Mapping[str, Sequence[str]] = {
    "Running": (ExecutionStatus.PENDING, ExecutionStatus.RUNNING, ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER),
    "Completed": (ExecutionStatus.COMPLETED,),
    "Failed": (ExecutionStatus.FAILED,),
    "Canceled": (ExecutionStatus.CANCELLED,),
    "Terminated": (ExecutionStatus.TERMINATED,),
    "ContinuedAsNew": (ExecutionStatus.CONTINUED,),
    "TimedOut": (ExecutionStatus.TIMED_OUT,),
    "Pending": (ExecutionStatus.PENDING,),
    "Parked": (ExecutionStatus.PARKED,),
    "DeadLetter": (ExecutionStatus.DEAD_LETTER,),
}
"""The SDK's names, with those that it counts as running by themselves as well."""

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*")
  | (?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<name>`[^`]+`|[A-Za-z_][\w.-]*)
  | (?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,)
)""",
    re.VERBOSE,
)
_WORDS = frozenset(
    {
        "AND",
        "ASC",
        "BETWEEN",
        "BY",
        "DESC",
        "FALSE",
        "GROUP",
        "IN",
        "IS",
        "NOT",
        "NULL",
        "OR",
        "ORDER",
        "STARTS_WITH",
        "TRUE",
    }
)
_LOOKUPS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


@dataclass(frozen=True)
class Filter:
    """What a filter's text asks for."""

    condition: Q = field(default_factory=Q)
    order_by: tuple[str, ...] = ("-id",)
    group_by: str | None = None
    aliases: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, rows: QuerySet[WorkflowExecution]) -> QuerySet[WorkflowExecution]:
        return rows.alias(**self.aliases).filter(self.condition).order_by(*self.order_by)


def parse(text: str | None) -> Filter:
    """Read a filter. Raises InvalidInput, which says where it is wrong and what would be right."""
    return _Parser(text or "").filter()


@dataclass(frozen=True)
class _Token:
    kind: str  # text, number, name, sign, word, end
    value: Any
    at: int


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._split())
        self.position = 0
        self.aliases: dict[str, Any] = {}

    def _split(self) -> Iterator[_Token]:
        at, end = 0, len(self.text.rstrip())
        while at < end:
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise self._wrong("expected a name, a sign, a number or a text in quotes", at)
            kind = str(match.lastgroup)
            raw, start = match.group(kind), match.start(kind)
            at = match.end()
            if kind == "text":
                quote = raw[0]
                yield _Token(kind, re.sub(r"\\(.)", r"\1", raw[1:-1].replace(quote * 2, quote)), start)
            elif kind == "number":
                yield _Token(kind, float(raw) if re.search(r"[.eE]", raw) else int(raw), start)
            elif kind == "name" and raw.upper() in _WORDS:
                yield _Token("word", raw.upper(), start)
            else:
                yield _Token(kind, raw.strip("`"), start)
        yield _Token("end", "the end", end)

    # -- the grammar ---------------------------------------------------------------------------------------------------

    def filter(self) -> Filter:
        condition = Q() if self._is("end") or self._at_word("ORDER", "GROUP") else self._or()
        group_by: str | None = None
        order_by: tuple[str, ...] = ("-id",)
        if self._take_word("GROUP"):
            self._need_word("BY")
            name = self._name()
            if name != "ExecutionStatus":
                raise self._wrong("expected GROUP BY ExecutionStatus, the only grouping there is", self.tokens[-1].at)
            group_by = "status"
        if self._take_word("ORDER"):
            self._need_word("BY")
            order_by = self._order()
        if not self._is("end"):
            raise self._unexpected("AND, OR, ORDER BY or the end")
        return Filter(condition, order_by, group_by, self.aliases)

    def _or(self) -> Q:
        found = self._and()
        while self._take_word("OR"):
            found |= self._and()
        return found

    def _and(self) -> Q:
        found = self._comparison()
        while self._take_word("AND"):
            found &= self._comparison()
        return found

    def _comparison(self) -> Q:
        if self._take_word("NOT"):
            return ~self._comparison()
        if self._take_sign("("):
            inner = self._or()
            self._need_sign(")")
            return inner
        name = self._name()
        token = self._next()
        if token.kind == "sign" and token.value in ("=", "!=", "<>", *_LOOKUPS):
            value = self._value()
            if token.value == "=":
                return self._equal(name, value)
            if token.value in ("!=", "<>"):
                return self._there(name) & ~self._equal(name, value)
            return self._ordered(name, _LOOKUPS[token.value], value)
        match token.value if token.kind == "word" else None:
            case "IN":
                return self._in(name)
            case "NOT":
                if self._take_word("IN"):
                    return self._there(name) & ~self._in(name)
                self._need_word("STARTS_WITH")
                return self._there(name) & ~self._starts(name)
            case "BETWEEN":
                low = self._value()
                self._need_word("AND")
                return self._ordered(name, "gte", low) & self._ordered(name, "lte", self._value())
            case "STARTS_WITH":
                return self._starts(name)
            case "IS":
                there = self._take_word("NOT")
                self._need_word("NULL")
                return self._there(name) if there else ~self._there(name)
        self.position -= 1
        raise self._unexpected("=, !=, <, <=, >, >=, IN, BETWEEN, STARTS_WITH or IS NULL")

    def _in(self, name: str) -> Q:
        self._need_sign("(")
        found = self._equal(name, self._value())
        while self._take_sign(","):
            found |= self._equal(name, self._value())
        self._need_sign(")")
        return found

    def _order(self) -> tuple[str, ...]:
        columns = []
        while True:
            name = self._name()
            column = FIELDS.get(name) or self._attribute(name)
            columns.append(f"-{column}" if self._take_word("DESC") else column)
            self._take_word("ASC")
            if not self._take_sign(","):
                return (*columns, "-id")

    # -- conditions ----------------------------------------------------------------------------------------------------

    def _equal(self, name: str, token: _Token) -> Q:
        if name == "ExecutionStatus":
            return Q(status__in=self._status(token))
        if name not in FIELDS:
            value = self._plain(token)
            column = self._attribute(name)
            # A list is equal to what it contains.
            return Q(**{column: value}) | Q(
                **{f"{column}_text__startswith": "[", f"{column}_text__contains": json.dumps(value)}
            )
        value = self._typed(name, token)
        if name == "WorkflowId":
            as_id = _uuid(str(value))
            unnamed = Q(business_id="", id=as_id) if as_id is not None else Q(pk__in=[])
            return Q(business_id=value) | unnamed
        return Q(**{FIELDS[name]: value})

    def _ordered(self, name: str, lookup: str, token: _Token) -> Q:
        if name in ("ExecutionStatus", *_RUNS):
            raise self._wrong(f"{name} has no order: compare it with =, != or IN", token.at)
        if name in FIELDS:
            return Q(**{f"{FIELDS[name]}__{lookup}": self._typed(name, token)})
        return Q(**{f"{self._attribute(name)}__{lookup}": self._plain(token)})

    def _starts(self, name: str) -> Q:
        token = self._value()
        if name in ("ExecutionStatus", *_RUNS, *_TIMES) or token.kind != "text":
            raise self._wrong("STARTS_WITH compares texts: WorkflowType, WorkflowId, TaskQueue, attributes", token.at)
        column = FIELDS[name] if name in FIELDS else f"{self._attribute(name)}_text"
        return Q(**{f"{column}__startswith": token.value})

    def _there(self, name: str) -> Q:
        if name in ("ParentWorkflowId", "ParentRunId"):
            return Q(parent__isnull=False)
        if name in FIELDS:
            return Q(**{f"{FIELDS[name]}__isnull": False})
        return Q(search_attributes__has_key=name)

    def _attribute(self, name: str) -> str:
        """The alias under which a search attribute is compared."""
        alias = f"attribute{len(self.aliases)}"
        for known, transform in self.aliases.items():
            if not known.endswith("_text") and transform.key_name == name:
                return known
        self.aliases[alias] = KeyTransform(name, "search_attributes")
        self.aliases[f"{alias}_text"] = KeyTextTransform(name, "search_attributes")
        return alias

    # -- values --------------------------------------------------------------------------------------------------------

    def _typed(self, name: str, token: _Token) -> Any:
        if token.kind != "text":
            raise self._wrong(f"{name} is compared with a text in quotes", token.at)
        if name in _TIMES:
            moment = _moment(token.value)
            if moment is None:
                raise self._wrong(f"{name} is compared with a time such as '2027-03-01T09:30:00Z'", token.at)
            return moment
        if name in _RUNS:
            as_id = _uuid(token.value)
            if as_id is None:
                raise self._wrong(f"{name} is compared with a run's id, a UUID", token.at)
            return as_id
        return token.value

    def _plain(self, token: _Token) -> Any:
        if token.kind == "word":
            return token.value == "TRUE"
        if token.kind == "text" and "T" in token.value and (moment := _moment(token.value)) is not None:
            return moment.isoformat()  # as `attributes.plain` writes it
        return token.value

    def _status(self, token: _Token) -> Sequence[str]:
        wanted = str(token.value).replace("_", "").replace(" ", "").lower()
        wanted = {"cancelled": "canceled"}.get(wanted, wanted)
        for name, statuses in STATUS_NAMES.items():
            if name.lower() == wanted:
                return statuses
        raise self._wrong(f"there is no status {token.value!r}; there are: {', '.join(STATUS_NAMES)}", token.at)

    # -- tokens --------------------------------------------------------------------------------------------------------

    def _next(self) -> _Token:
        token = self.tokens[self.position]
        if token.kind != "end":
            self.position += 1
        return token

    def _is(self, kind: str) -> bool:
        return bool(self.tokens[self.position].kind == kind)

    def _at_word(self, *words: str) -> bool:
        token = self.tokens[self.position]
        return bool(token.kind == "word" and token.value in words)

    def _take(self, condition: Callable[[_Token], bool]) -> bool:
        if condition(self.tokens[self.position]):
            self.position += 1
            return True
        return False

    def _take_word(self, word: str) -> bool:
        return self._take(lambda token: token.kind == "word" and token.value == word)

    def _take_sign(self, sign: str) -> bool:
        return self._take(lambda token: token.kind == "sign" and token.value == sign)

    def _need_word(self, word: str) -> None:
        if not self._take_word(word):
            raise self._unexpected(word)

    def _need_sign(self, sign: str) -> None:
        if not self._take_sign(sign):
            raise self._unexpected(sign)

    def _name(self) -> str:
        if not self._is("name"):
            raise self._unexpected(f"a field ({', '.join(FIELDS)}, or a search attribute)")
        token = self._next()
        near = difflib.get_close_matches(token.value, FIELDS, n=1, cutoff=0.85)
        if token.value not in FIELDS and near:
            raise self._wrong(f"there is no field {token.value!r}; did you mean {near[0]}?", token.at)
        return str(token.value)

    def _value(self) -> _Token:
        token = self._next()
        if token.kind in ("text", "number") or (token.kind == "word" and token.value in ("TRUE", "FALSE")):
            return token
        if token.kind != "end":
            self.position -= 1
        raise self._unexpected("a text in quotes, a number, true or false")

    def _unexpected(self, wanted: str) -> InvalidInput:
        token = self.tokens[self.position]
        return self._wrong(f"expected {wanted}, not {token.value!r}", token.at)

    def _wrong(self, what: str, at: int) -> InvalidInput:
        near = self.text[max(0, at - 15) : at + 15].strip()
        return InvalidInput(f"the filter is wrong at character {at + 1} (…{near}…): {what}")


def _moment(text: str) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
