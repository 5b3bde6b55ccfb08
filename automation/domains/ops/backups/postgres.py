"""PostgreSQL: pg_dump of an exported snapshot, in which the rows are counted too, and pg_restore into a scratch
database of the same server. The programs come from POSTGRES_BIN, else from the PATH, and are as new as the server.

Whoever restores holds, on the whole server, a lock on the scratch database's name from before it is made until it is
dropped, and drops first those whose lock is free: theirs was a worker that was killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from automation import clock
from automation.domains.ops.backups.base import BackupProblem, Beat, Engine, Tables
from automation.providers.runner import RunnerRefused, execute

logger = logging.getLogger(__name__)

SCRATCH = "weir_verify_"
"""What the names of scratch databases begin with; the time and a random part follow."""
SERVER = "postgres"
"""The database from which others are made and dropped, and where a lock counts for all of them."""
LONGEST = 12 * 3600.0
"""Seconds that one program may take."""

_PATIENT = "SET LOCAL idle_in_transaction_session_timeout = 0"
"""For a transaction that stays open while a program runs."""

_OPTIONS = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"}


def dump(path: Path, beat: Beat) -> Tables:
    try:
        with _another_connection() as database, database.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(_PATIENT)
            cursor.execute("SELECT pg_export_snapshot()")
            [snapshot] = cursor.fetchone() or [""]
            _run("pg_dump", ["--format=custom", f"--snapshot={snapshot}", f"--file={path}"], beat)
            tables = _count(cursor)
            cursor.execute("COMMIT")
            return tables
    except DatabaseError as error:
        raise BackupProblem(f"the database cannot be read: {error}") from error


def restore(path: Path, beat: Beat) -> Tables:
    options = ["--exit-on-error", "--no-owner", "--no-privileges"]
    try:
        with _scratch(beat) as scratch:
            _run("pg_restore", [*options, f"--dbname={scratch}", str(path)], beat)
            with _another_connection(scratch) as database, database.cursor() as cursor:
                return _count(cursor)
    except DatabaseError as error:
        raise BackupProblem(f"the restored database cannot be read: {error}") from error


@contextlib.contextmanager
def _scratch(beat: Beat) -> Iterator[str]:
    """An empty database, gone at the end. The server frees its lock when this process dies."""
    name = f"{SCRATCH}{clock.unmoved():%Y%m%dt%H%M%S}_{secrets.token_hex(6)}"
    with _another_connection(SERVER) as server, server.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(_PATIENT)
        # Before it is made: what exists and is not locked has no owner.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        _drop_left_behind(cursor, beat)
        _run("createdb", ["--template=template0", f"--maintenance-db={SERVER}", name], beat)
        try:
            yield name
        finally:
            _drop(name, lambda: False)


def _drop_left_behind(cursor: Any, beat: Beat) -> None:
    """Drop the scratch databases of this user that nobody owns. Of two that do so at once, one gets each lock."""
    cursor.execute(
        "SELECT datname, EXISTS (SELECT FROM pg_stat_activity WHERE datid = pg_database.oid) FROM pg_database "
        "WHERE starts_with(datname, %s) AND datdba = (SELECT oid FROM pg_roles WHERE rolname = current_user) "
        "ORDER BY datname",
        [SCRATCH],
    )
    for name, used in cursor.fetchall():
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        [free] = cursor.fetchone() or [False]
        if not free:
            continue
        try:
            if used:  # by a program that outlived its worker, say: some other time
                raise BackupProblem("somebody is connected to it")
            _drop(name, beat)
        except BackupProblem as problem:
            logger.warning("the scratch database %s, whose worker was lost, cannot be dropped: %s", name, problem)
        else:
            logger.info("dropped the scratch database %s, whose worker was lost", name)


def _drop(name: str, beat: Beat) -> None:
    _run("dropdb", ["--if-exists", f"--maintenance-db={SERVER}", name], beat)


def _count(cursor: Any) -> Tables:
    cursor.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
    )
    names = [name for (name,) in cursor.fetchall()]
    tables: Tables = {}
    for name in names:
        cursor.execute(f"SELECT count(*) FROM {name}")  # noqa: S608 (quoted by format's %I)
        tables[name] = cursor.fetchone()[0]
    return tables


@contextlib.contextmanager
def _another_connection(database: str = "") -> Iterator[BaseDatabaseWrapper]:
    """A connection of its own: the snapshot has to outlast whatever else is done meanwhile."""
    other = connection.copy()
    if database:
        other.settings_dict["NAME"] = database
    try:
        yield other
    finally:
        other.close()


def _run(program: str, arguments: Sequence[str], beat: Beat) -> None:
    where = shutil.which(program, path=settings.POSTGRES_BIN or None)
    if where is None:
        place = f"in POSTGRES_BIN ({settings.POSTGRES_BIN})" if settings.POSTGRES_BIN else "on the PATH of this worker"
        raise BackupProblem(
            f"{program} is not {place}: install PostgreSQL's client programs, or name their directory in POSTGRES_BIN",
            final=True,
        )
    try:
        ran = execute([where, *arguments], timeout=LONGEST, env=_environment(), beat=beat)
    except RunnerRefused as error:
        raise BackupProblem(error.message, final=True) from error
    if not ran.ok:
        mismatch = "version mismatch" in ran.stderr
        hint = "; POSTGRES_BIN can name the directory of newer programs" if mismatch else ""
        raise BackupProblem(f"{program}: {ran.summary}\n{ran.stderr[-2000:].strip()}{hint}", final=mismatch)


def _environment() -> dict[str, str]:
    """How the programs find and enter the database; a password is in no list of processes that way."""
    config = connection.settings_dict
    options = config.get("OPTIONS") or {}
    wanted = {
        "PGHOST": config.get("HOST"),
        "PGPORT": config.get("PORT"),
        "PGUSER": config.get("USER"),
        "PGPASSWORD": config.get("PASSWORD"),
        "PGDATABASE": config.get("NAME"),
        **{variable: options.get(name) for name, variable in _OPTIONS.items()},
    }
    return {**os.environ, **{name: str(value) for name, value in wanted.items() if value}}


ENGINE = Engine(".pgdump", dump, restore)
