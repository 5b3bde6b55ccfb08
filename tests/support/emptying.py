"""Tables emptied between tests that commit: those that have rows, in milliseconds.

Django's flush truncates every table and makes content types and permissions again, which takes a second or two on
PostgreSQL and leaves a killed server hundreds of files a test to recover, for half a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.db import IntegrityError, OperationalError, connection, transaction
from django.test import TransactionTestCase

# What migrating makes, and no test changes.
KEPT = frozenset({"django_migrations", "django_content_type", "auth_permission"})
ATTEMPTS = 20


def empty_tables() -> None:
    """Delete all rows but those of `KEPT`. While workers write, either side can be ended by a deadlock, or have added
    a row that refers to a deleted one: it is tried again."""
    for attempt in range(ATTEMPTS):
        try:
            return _empty_tables()
        except (OperationalError, IntegrityError):
            if attempt == ATTEMPTS - 1:
                raise
            connection.close()
    return None


@contextmanager
def instead_of_flush() -> Iterator[None]:
    """Have every transactional test end with `empty_tables` in place of Django's flush."""
    flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
    TransactionTestCase._fixture_teardown = lambda self: empty_tables()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        TransactionTestCase._fixture_teardown = flush  # type: ignore[attr-defined]


def _empty_tables() -> None:
    with connection.cursor() as cursor:
        cursor.execute(_which_have_rows())
        tables = [connection.ops.quote_name(name) for (name,) in cursor.fetchall()]
        if not tables:
            return
        with transaction.atomic():
            if connection.vendor == "postgresql":
                # Writers wait until this has committed, as for a truncation.
                cursor.execute(f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE")
            for table in sorted(tables, key=_guarded().__contains__, reverse=True):
                cursor.execute(f"TRUNCATE {table} CASCADE" if table in _guarded() else f"DELETE FROM {table}")


@cache
def _which_have_rows() -> str:
    tables = sorted(set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - KEPT)
    quoted = connection.ops.quote_name
    return " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {quoted(name)})" for name in tables)


@cache
def _guarded() -> frozenset[str]:
    """Tables with triggers, which may refuse that a row is deleted: a truncation passes them."""
    if connection.vendor != "postgresql":
        return frozenset()
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal")
        return frozenset(connection.ops.quote_name(name.strip('"')) for (name,) in cursor.fetchall())
