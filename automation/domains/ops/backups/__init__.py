"""Dumping the project's own database, and restoring a dump into a scratch database to prove it."""

from __future__ import annotations

from django.db import connection

from automation.domains.ops.backups import postgres, sqlite
from automation.domains.ops.backups.base import BackupProblem, Beat, Engine, differences

ENGINES: dict[str, Engine] = {"sqlite": sqlite.ENGINE, "postgresql": postgres.ENGINE}


def engine(vendor: str | None = None) -> Engine:
    """How the database of that vendor is dumped; the project's own by default. Raises BackupProblem."""
    wanted = vendor or connection.vendor
    if wanted not in ENGINES:
        raise BackupProblem(f"a database of {wanted} cannot be backed up: expected {' or '.join(ENGINES)}", final=True)
    return ENGINES[wanted]


__all__ = ["BackupProblem", "Beat", "Engine", "differences", "engine"]
