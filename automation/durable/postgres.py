"""How the hot statements run on PostgreSQL: prepared, on Django's connection, past Django's cursor.

`execute` goes through psycopg's cursor, which understands arrays and rows. `Hot` speaks libpq's own language, text in
and text out, for the statements that run once a step: a cursor's work around such a statement costs more than it does.

Plans: all of these statements are to go by index, however small their tables still are. A plan lasts until its tables
are analyzed, and one that is made anew while a table has a few pages reads the whole of it, also when it has grown a
thousandfold before it is analyzed again. So a statement's first run on a connection plans it with sequential scans off,
and a busy connection forgets its plans every second, and makes them anew in the same way. (Sequential scans are not off
for good, because the connection is also that of the activities.)
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DataError, connection, connections
from psycopg import pq
from psycopg.errors import error_from_result

Scalar = str | int | uuid.UUID | dt.datetime | None
Value = Scalar | Sequence[Scalar]

_NO_SUCH_STATEMENT = b"26000"

# Taking over and claiming need not wait for the disk: what depends on them commits later, and is not on the disk before
# them. Should the database crash in between, they have not happened, and what was begun is begun again.
NO_WAIT = "no_wait AS (SELECT set_config('synchronous_commit', 'off', TRUE))"

PLANS_LAST = 1.0
"""Seconds after which a connection makes its plans anew …"""
RUNS_OF_PLANS = 200
"""… if it has run so many statements since: a table does not grow much by fewer, and those need not wait for a plan."""


@dataclass
class _Plans:
    """Of one connection: the names of the statements that are prepared, those (by name or text) that have a plan, since
    when, and how often they ran."""

    prepared: set[str] = field(default_factory=set)
    planned: set[str] = field(default_factory=set)
    since: float = field(default_factory=time.monotonic)
    runs: int = 0

    def count(self, raw: Any) -> None:
        """Before a run: forget plans that are old."""
        self.runs += 1
        if self.runs >= RUNS_OF_PLANS and time.monotonic() - self.since >= PLANS_LAST:
            raw.pgconn.exec_(b"DISCARD PLANS")
            self.planned.clear()
            self.since, self.runs = time.monotonic(), 0


_plans: WeakKeyDictionary[Any, _Plans] = WeakKeyDictionary()


def execute(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement ($1, $2, … are its parameters) and return its rows."""
    raw = _connected().connection
    try:
        with psycopg.RawCursor(raw) as cursor:
            plans = _plans_of(raw)
            first = sql not in plans.planned
            if first:
                _plan_by_index(raw)
            try:
                cursor.execute(sql.encode(), parameters, prepare=settings.DB_PREPARED_STATEMENTS)
                plans.planned.add(sql)
                return cursor.fetchall() if cursor.description else []
            finally:
                if first:
                    _plan_freely(raw)
    except psycopg.Error as error:
        _raise(raw, error)
    return []


class Hot:
    """A statement that is prepared once a connection. Its parameters are scalars, and sequences of them for arrays;
    what it returns is text."""

    def __init__(self, name: str, sql: str) -> None:
        self.name = f"weir_{name}"
        self.sql = sql

    def run(self, *values: Value) -> tuple[int, str]:
        """How many rows it returned, and the first row's first value."""
        result = self._result(values)
        value = result.get_value(0, 0) if result.ntuples and result.nfields else None
        return result.ntuples, (value or b"").decode()

    def rows(self, *values: Value) -> list[tuple[str | None, ...]]:
        """All rows."""
        result = self._result(values)
        return [
            tuple(
                value.decode() if (value := result.get_value(row, column)) is not None else None
                for column in range(result.nfields)
            )
            for row in range(result.ntuples)
        ]

    def _result(self, values: Sequence[Value]) -> pq.abc.PGresult:
        wrapper = _connected()
        raw = wrapper.connection
        parameters = [_text(value) for value in values]
        try:
            result = self._execute(raw, parameters, wrapper.in_atomic_block)
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise error_from_result(result)
        except psycopg.Error as error:
            _raise(raw, error)
        return result

    def _execute(self, raw: Any, parameters: list[bytes | None], in_transaction: bool) -> pq.abc.PGresult:
        # psycopg deallocates every prepared statement of a connection after a rollback, ours too. Out of a transaction
        # that is noticed and mended; within one the error would end the transaction, so nothing is prepared there.
        if not settings.DB_PREPARED_STATEMENTS or in_transaction:
            if not raw.autocommit and raw.pgconn.transaction_status == pq.TransactionStatus.IDLE:
                raw.pgconn.exec_(b"BEGIN")  # psycopg's cursors begin a transaction late, and this is none of them
            unprepared: pq.abc.PGresult = raw.pgconn.exec_params(self.sql.encode(), parameters)
            return unprepared
        plans = _plans_of(raw)
        if self.name in plans.planned:
            result: pq.abc.PGresult = raw.pgconn.exec_prepared(self.name.encode(), parameters)
        elif self.name in plans.prepared:
            result = self._plan(raw, plans, parameters)
        else:
            self._prepare(raw, plans)
            return self._plan(raw, plans, parameters)
        if result.error_field(pq.DiagnosticField.SQLSTATE) != _NO_SUCH_STATEMENT:
            return result
        # Only this one is sure to be gone: psycopg deallocates late, when others may have been prepared again.
        plans.planned &= plans.prepared
        self._prepare(raw, plans)
        return self._plan(raw, plans, parameters)

    def _prepare(self, raw: Any, plans: _Plans) -> None:
        prepared = raw.pgconn.prepare(self.name.encode(), self.sql.encode())
        if prepared.status != pq.ExecStatus.COMMAND_OK:
            raise error_from_result(prepared)
        plans.prepared.add(self.name)

    def _plan(self, raw: Any, plans: _Plans, parameters: list[bytes | None]) -> pq.abc.PGresult:
        """Run it and, by that, plan it."""
        _plan_by_index(raw)
        try:
            result: pq.abc.PGresult = raw.pgconn.exec_prepared(self.name.encode(), parameters)
        finally:
            _plan_freely(raw)
        plans.planned.add(self.name)
        return result


def _plans_of(raw: Any) -> _Plans:
    plans = _plans.get(raw)
    if plans is None:
        plans = _plans[raw] = _Plans()
    plans.count(raw)
    return plans


def _connected() -> Any:
    """Django's connection itself: each look through `django.db.connection`, which stands for it, costs as much as a
    parameter."""
    wrapper: Any = connections[DEFAULT_DB_ALIAS]
    if wrapper.connection is None:
        wrapper.ensure_connection()
    return wrapper


def _text(value: Value) -> bytes | None:
    kind = type(value)  # the common ones first, and without asking abstract classes: this runs a dozen times a step
    if kind is int or kind is uuid.UUID:
        return str(value).encode()
    if value is None:
        return None
    if isinstance(value, str):
        return _whole(value).encode()
    if isinstance(value, dt.datetime):
        return value.isoformat().encode()
    if isinstance(value, Sequence):
        return ("{" + ",".join(map(_element, value)) + "}").encode()
    return str(value).encode()


def _whole(text: str) -> str:
    """The text, of which libpq would take no more than what comes before a NUL."""
    if "\0" in text:
        raise DataError(f"a text with a NUL in it cannot be stored: {text[:60]!r}")
    return text


def _element(value: Scalar) -> str:
    """One element of an array's text; quoted where it is not sure to be harmless."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + _whole(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dt.datetime):
        return '"' + value.isoformat() + '"'
    return str(value)


def _plan_by_index(raw: Any) -> None:
    """Until `_plan_freely`: what runs is planned, and the checks of its foreign keys with it."""
    raw.pgconn.exec_(b"SET enable_seqscan = off")


def _plan_freely(raw: Any) -> None:
    if raw.pgconn.status == pq.ConnStatus.OK:
        raw.pgconn.exec_(b"RESET enable_seqscan")


def _raise(raw: Any, error: psycopg.Error) -> None:
    """As one of Django's database errors; a connection that is gone is given up, so that the next statement makes a
    new one."""
    if raw.closed or raw.pgconn.status != pq.ConnStatus.OK:
        if connection.in_atomic_block:
            connection.needs_rollback = True
        else:
            connection.close()
    with connection.wrap_database_errors:
        raise error
