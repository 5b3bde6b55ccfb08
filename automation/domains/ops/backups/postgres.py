"""PostgreSQL: pg_dump of an exported snapshot, in which the rows are counted too, and pg_restore into a scratch
database of the same server. The programs come from POSTGRES_BIN, else from the PATH, and are as new as the server."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from automation.domains.ops.backups.base import BackupProblem, Beat, Engine, Tables
from automation.providers.runner import RunnerRefused, execute

LONGEST = 12 * 3600.0
"""Seconds that one program may take."""

_OPTIONS = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"}


def dump(path: Path, beat: Beat) -> Tables:
    try:
        with _another_connection() as database, database.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute("SELECT pg_export_snapshot()")
            [snapshot] = cursor.fetchone() or [""]
            _run("pg_dump", ["--format=custom", f"--snapshot={snapshot}", f"--file={path}"], beat)
            tables = _count(cursor)
            cursor.execute("COMMIT")
            return tables
    except DatabaseError as error:
        raise BackupProblem(f"the database cannot be read: {error}") from error


def restore(path: Path, beat: Beat) -> Tables:
    scratch = f"weir_verify_{secrets.token_hex(6)}"
    _run("createdb", ["--template=template0", "--maintenance-db=postgres", scratch], beat)
    try:
        _run("pg_restore", ["--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={scratch}", str(path)], beat)
        with _another_connection(scratch) as database, database.cursor() as cursor:
            return _count(cursor)
    except DatabaseError as error:
        raise BackupProblem(f"the restored database cannot be read: {error}") from error
    finally:
        _run("dropdb", ["--if-exists", "--maintenance-db=postgres", scratch], lambda: False)


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
