"""The steps of a backup. Its files are in BACKUP_DIR: `<time>-<id>.sqlite3` or `.pgdump`, and a `.sha256` beside it."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from automation import clock
from automation.domains.ops import alerts, backups
from automation.domains.ops.backups import BackupProblem
from automation.domains.ops.models import Backup, BackupStatus
from automation.durable import activity
from automation.durable.exceptions import ApplicationError

ALERT = "backup"
ALERT_KEY = "database"
CHUNK = 1024 * 1024

Info = dict[str, Any]


@activity.defn(name="dump_database")
def dump_database() -> Info:
    """Dump the project's own database into BACKUP_DIR: `backup_id`, `vendor`, `tables` (how many), `rows`.

    Raises ApplicationError of type BackupProblem; final where trying again changes nothing, as without pg_dump.
    """
    with _problems():
        engine = backups.engine()
        row, _ = Backup.objects.update_or_create(
            key=activity.info().idempotency_key,
            defaults={
                "vendor": connection.vendor,
                "database": str(connection.settings_dict["NAME"]),
                "status": BackupStatus.RUNNING,
                "problem": "",
            },
        )
        directory = _directory()
        path = directory / f"{row.created_at:%Y%m%dT%H%M%SZ}-{row.pk}{engine.suffix}.part"
        path.unlink(missing_ok=True)  # an attempt before this one may have been cut off
        path.touch(mode=0o600)  # it holds everything that the database does
        tables = engine.dump(path, _beat)
    row.path, row.tables, row.size = str(path), tables, path.stat().st_size
    row.save(update_fields=["path", "tables", "size"])
    return {"backup_id": row.pk, "vendor": row.vendor, "tables": len(tables), "rows": sum(tables.values())}


@activity.defn(name="checksum_backup")
def checksum_backup(backup_id: int) -> Info:
    """The SHA-256 and the size of a dump: `sha256`, `size` in bytes."""
    row = _backup(backup_id)
    with _problems():
        row.sha256, row.size = _sum(Path(row.path))
    row.save(update_fields=["sha256", "size"])
    return {"sha256": row.sha256, "size": row.size}


@activity.defn(name="store_backup")
def store_backup(backup_id: int) -> Info:
    """Give a dump its name, once it is whole on the disk, and its checksum beside it: `path`."""
    row = _backup(backup_id)
    path, final = Path(row.path), Path(row.path.removesuffix(".part"))
    with _problems():
        if path != final and (path.exists() or not final.exists()):
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(final)
        final.with_name(f"{final.name}.sha256").write_text(f"{row.sha256}  {final.name}\n")
    row.path = str(final)
    if row.status == BackupStatus.RUNNING:
        row.status = BackupStatus.STORED
    row.save(update_fields=["path", "status"])
    return {"path": row.path}


@activity.defn(name="verify_backup")
def verify_backup(backup_id: int) -> Info:
    """Prove a backup: its checksum, then a restore into a scratch database whose tables and rows are compared with
    those of the dump: `tables`, `rows`. Closes the alert of a failed one before.

    Raises ApplicationError of type BackupNotVerified (final), or BackupProblem.
    """
    row = _backup(backup_id)
    path = Path(row.path)
    with _problems():
        found, _ = _sum(path)
        if found != row.sha256:
            raise _unproven(row, f"its checksum is {found[:12]}…, not {row.sha256[:12]}…: the file has changed")
        tables = backups.engine(row.vendor).restore(path, _beat)
    if different := backups.differences(row.tables, tables):
        raise _unproven(row, "; ".join(different[:5]))
    row.status, row.verified_at, row.problem = BackupStatus.VERIFIED, clock.now(), ""
    row.save(update_fields=["status", "verified_at", "problem"])
    alerts.close_alert(ALERT, ALERT_KEY)
    return {"tables": len(tables), "rows": sum(tables.values())}


@activity.defn(name="prune_backups")
def prune_backups(keep_days: int) -> Info:
    """Delete the files of the backups older than `keep_days`: `pruned` (ids), `kept`. The last verified one stays
    however old it is."""
    before = clock.now() - dt.timedelta(days=keep_days)
    there = Backup.objects.exclude(status=BackupStatus.PRUNED)
    last_good = there.filter(status=BackupStatus.VERIFIED).order_by("-created_at", "-id").first()
    pruned = []
    with _problems():
        for row in there.filter(created_at__lt=before).order_by("id"):
            if last_good is not None and row.pk == last_good.pk:
                continue
            for path in (row.path, f"{row.path}.sha256"):
                if row.path:
                    Path(path).unlink(missing_ok=True)
            row.status, row.pruned_at = BackupStatus.PRUNED, clock.now()
            row.save(update_fields=["status", "pruned_at"])
            pruned.append(row.pk)
    return {"pruned": pruned, "kept": there.count()}


@activity.defn(name="fail_backup")
def fail_backup(backup_id: int | None, reason: str, alert: bool = True) -> Info:
    """Note that a backup failed, and open an alert: `alerted`, False where one is open. What it left half done goes; a
    file that could not be verified stays, to be looked at."""
    row = Backup.objects.filter(pk=backup_id).first() if backup_id is not None else _of_this_execution()
    if row is not None:
        if row.path.endswith(".part"):
            Path(row.path).unlink(missing_ok=True)
        row.status, row.problem = BackupStatus.FAILED, reason
        row.save(update_fields=["status", "problem"])
    if not alert:
        return {"alerted": False}
    good = Backup.objects.filter(status=BackupStatus.VERIFIED).order_by("-created_at", "-id").first()
    last = f"the last good backup is of {good.created_at:%F %T} UTC" if good else "there is no good backup"
    return {"alerted": alerts.open_alert(ALERT, ALERT_KEY, f"The backup of the database failed: {reason} ({last})")}


def _of_this_execution() -> Backup | None:
    prefix = f"{activity.info().workflow_run_id}:"
    return Backup.objects.filter(key__startswith=prefix, status=BackupStatus.RUNNING).first()


def _backup(backup_id: int) -> Backup:
    row = Backup.objects.filter(pk=backup_id).first()
    if row is None:
        raise ApplicationError(f"there is no backup {backup_id}", type="BackupNotFound", non_retryable=True)
    return row


def _directory() -> Path:
    directory = Path(settings.BACKUP_DIR)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BackupProblem(f"BACKUP_DIR={settings.BACKUP_DIR!r} cannot be written: {error}", final=True) from error
    return directory


def _sum(path: Path) -> tuple[str, int]:
    """The SHA-256 and the size of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
            size += len(block)
            if size % (256 * CHUNK) == 0:
                _beat()
    return digest.hexdigest(), size


def _beat() -> bool:
    activity.heartbeat()
    return activity.is_cancelled()


def _unproven(row: Backup, problem: str) -> ApplicationError:
    return ApplicationError(
        f"backup {row.pk} could not be verified: {problem}", type="BackupNotVerified", non_retryable=True
    )


@contextlib.contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except BackupProblem as problem:
        raise ApplicationError(str(problem), type="BackupProblem", non_retryable=problem.final) from problem
    except OSError as error:
        raise ApplicationError(f"the backup's file cannot be handled: {error}", type="BackupProblem") from error
