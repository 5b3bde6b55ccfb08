"""SQLite: its online backup, and a scratch file."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path

from django.db import connection

from automation.domains.ops.backups.base import BackupProblem, Beat, Engine, Tables


def dump(path: Path, beat: Beat) -> Tables:
    connection.ensure_connection()
    try:
        with contextlib.closing(sqlite3.connect(path)) as copy:
            # All pages in one step: consistent, and with WAL no writer waits for it.
            connection.connection.backup(copy)
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
