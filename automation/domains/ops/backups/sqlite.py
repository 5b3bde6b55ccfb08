"""SQLite: its online backup, and a scratch file."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from django.db import connection

from automation.domains.ops.backups.base import BackupProblem, Beat, Engine, Tables

PATIENCE = 120.0
"""Seconds that the database may be locked."""

_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def dump(path: Path, beat: Beat) -> Tables:
    if connection.in_atomic_block:  # SQLite would have it wait for itself
        raise BackupProblem("the database cannot be copied inside a transaction of the same connection", final=True)
    connection.ensure_connection()
    give_up = time.monotonic() + PATIENCE

    def progress(status: int, remaining: int, total: int) -> None:
        beat()
        if status in _LOCKED and time.monotonic() > give_up:
            raise BackupProblem(f"the database has been locked for {PATIENCE:g} s")

    try:
        with contextlib.closing(sqlite3.connect(path)) as copy:
            # All pages in one step: consistent, and with WAL no writer waits for it.
            connection.connection.backup(copy, progress=progress)
            # Of its own: a dump is one file, without a log beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
            return _count(copy)
    except sqlite3.Error as error:
        raise BackupProblem(f"the database cannot be copied to {path}: {error}") from error


def restore(path: Path, beat: Beat) -> Tables:
    with tempfile.TemporaryDirectory(prefix="weir-verify-") as directory:
        scratch = Path(directory) / "scratch.sqlite3"
        try:
            shutil.copyfile(path, scratch)
            with contextlib.closing(sqlite3.connect(scratch)) as restored:
                [(verdict,), *more] = restored.execute("PRAGMA integrity_check(5)").fetchall()
                if verdict != "ok":
                    raise BackupProblem(f"{path.name} is damaged: {'; '.join([verdict, *(row[0] for row in more)])}")
                if broken := restored.execute("PRAGMA foreign_key_check").fetchmany(5):
                    raise BackupProblem(f"{path.name} has rows that refer to nothing, in: {broken[0][0]}")
                return _count(restored)
        except (sqlite3.Error, OSError) as error:
            raise BackupProblem(f"{path.name} cannot be restored: {error}") from error


def _count(database: sqlite3.Connection) -> Tables:
    rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    names = [name for (name,) in rows.fetchall()]
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in names}
    return {name: database.execute(f"SELECT count(*) FROM {quoted[name]}").fetchone()[0] for name in names}  # noqa: S608


ENGINE = Engine(".sqlite3", dump, restore)
