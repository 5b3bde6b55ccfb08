"""Backups of the test's own database: made, proven, found wanting, pruned. They run on SQLite and on PostgreSQL."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from automation.domains.ops import activities, backups
from automation.domains.ops.backups import BackupProblem, postgres, sqlite
from automation.domains.ops.models import Backup, BackupStatus
from automation.domains.ops.workflows import BackupWorkflow
from automation.durable import activity, control
from automation.durable.exceptions import WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment
from automation.models import Alert, User
from tests.domains.ops.conftest import cause
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, settings: Any) -> Path:
    settings.BACKUP_DIR = str(tmp_path / "backups")
    return tmp_path / "backups"


@pytest.fixture
def env(transactional_db: None) -> Iterator[WorkflowEnvironment]:
    """Without a transaction around the test: a dump is of what has been committed."""
    with WorkflowEnvironment.start_time_skipping() as environment:
        yield environment


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_backup_is_made_proven_and_kept(env: WorkflowEnvironment, directory: Path) -> None:
    User.objects.create_user("ada@example.com")
    result = env.run(BackupWorkflow.run)
    row = Backup.objects.get()
    path = Path(result["path"])
    assert (row.status, row.vendor, row.path) == (BackupStatus.VERIFIED, connection.vendor, str(path))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == result["sha256"] == row.sha256
    assert result["size"] == path.stat().st_size
    assert names(directory) == [path.name, f"{path.name}.sha256"]
    assert path.stat().st_mode & 0o077 == 0, "nobody else reads it"
    users = next(count for table, count in row.tables.items() if table.endswith("automation_user"))
    assert users == 1
    assert (result["tables"], result["rows"]) == (len(row.tables), sum(row.tables.values()))
    assert not Alert.objects.exists()


def spoil(directory: Path, how: str) -> None:
    [path] = [path for path in directory.iterdir() if path.suffix in (".sqlite3", ".pgdump")]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if how == "cut" else data[:-50] + b"x" * 50)


@pytest.mark.parametrize("how", ["cut", "changed"])
def test_a_file_that_changes_is_not_verified(env: WorkflowEnvironment, directory: Path, how: str) -> None:
    good = env.run(BackupWorkflow.run)
    old = directory / "old"
    old.mkdir()
    for name in names(directory):
        if name != "old":
            (directory / name).rename(old / name)
    Backup.objects.update(path=str(old / Path(good["path"]).name))

    def store(backup_id: int) -> Any:
        stored = activities.store_backup(backup_id)
        spoil(directory, how)
        return stored

    env.skip(timedelta(days=30))
    env.replace_activities({"store_backup": store})
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(BackupWorkflow.run)
    error = cause(caught)
    assert (error.type, "the file has changed" in str(error)) == ("BackupNotVerified", True)
    alert = Alert.objects.get(closed_at=None)
    assert "the last good backup is of" in alert.message
    assert (old / Path(good["path"]).name).exists(), "the last good one stays, though it is old"
    assert Backup.objects.get(pk=good["backup_id"]).status == BackupStatus.VERIFIED
    failed = Backup.objects.latest("id")
    assert failed.status == BackupStatus.FAILED
    assert Path(failed.path).exists(), "it can be looked at"

    env.replace_activities({"store_backup": activities.store_backup})
    env.run(BackupWorkflow.run)
    assert not Alert.objects.filter(closed_at=None).exists(), "a good one closes the alert"


def test_a_dump_that_does_not_restore_is_not_verified(env: WorkflowEnvironment, directory: Path) -> None:
    def store(backup_id: int) -> Any:
        spoil_part(directory)
        activities.checksum_backup(backup_id)  # so that only restoring it finds out
        return activities.store_backup(backup_id)

    def spoil_part(directory: Path) -> None:
        [part] = directory.glob("*.part")
        data = part.read_bytes()
        part.write_bytes(data[: len(data) // 3])

    env.replace_activities({"store_backup": store})
    with pytest.raises(WorkflowFailureError):
        env.run(BackupWorkflow.run)
    assert Backup.objects.get().status == BackupStatus.FAILED
    assert "there is no good backup" in Alert.objects.get().message


def test_rows_that_are_missing_are_found(env: WorkflowEnvironment) -> None:
    def checksum(backup_id: int) -> Any:
        row = Backup.objects.get(pk=backup_id)
        table = next(table for table in row.tables if table.endswith("automation_user"))
        Backup.objects.filter(pk=backup_id).update(tables={**row.tables, table: 99, "of_yesterday": 1})
        return activities.checksum_backup(backup_id)

    env.replace_activities({"checksum_backup": checksum})
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(BackupWorkflow.run)
    assert "the table of_yesterday is missing" in str(cause(caught))
    assert "rows, not 99" in str(cause(caught))


def test_old_backups_are_pruned_but_for_the_last_good_one(env: WorkflowEnvironment, directory: Path) -> None:
    for _ in range(5):
        env.run(BackupWorkflow.run, 10)
        env.skip(timedelta(days=4))
    rows = list(Backup.objects.order_by("id"))
    assert [row.status for row in rows] == ["pruned", "pruned", "verified", "verified", "verified"]
    assert len(names(directory)) == 6
    assert [Path(row.path).exists() for row in rows] == [False, False, True, True, True]
    Backup.objects.filter(pk__in=[row.pk for row in rows[3:]]).update(status=BackupStatus.FAILED)
    env.skip(timedelta(days=100))
    pruned = activities.prune_backups(10)
    assert pruned["pruned"] == [rows[3].pk, rows[4].pk]
    assert Path(rows[2].path).exists()


def test_a_directory_that_cannot_be_written_is_named(env: WorkflowEnvironment, tmp_path: Path, settings: Any) -> None:
    (tmp_path / "file").touch()
    settings.BACKUP_DIR = str(tmp_path / "file" / "backups")
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(BackupWorkflow.run)
    assert "BACKUP_DIR" in str(cause(caught))
    assert "BACKUP_DIR" in Alert.objects.get().message
    assert Backup.objects.get().status == BackupStatus.FAILED


def test_days_to_keep_are_at_least_one(env: WorkflowEnvironment) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(BackupWorkflow.run, 0)
    assert "keep_days" in str(cause(caught))


def test_a_cancelled_backup_says_so(env: WorkflowEnvironment, directory: Path) -> None:
    def checksum(backup_id: int) -> Any:
        control.cancel(activity.info().execution_id, "not now")
        return activities.checksum_backup(backup_id)

    env.replace_activities({"checksum_backup": checksum})
    with pytest.raises(WorkflowFailureError):
        env.run(BackupWorkflow.run)
    row = Backup.objects.get()
    assert (row.status, row.problem) == (BackupStatus.FAILED, "it was cancelled")
    assert names(directory) == []
    assert not Alert.objects.exists()


def test_what_was_given_up_is_pruned_too(env: WorkflowEnvironment, directory: Path) -> None:
    directory.mkdir()
    part = directory / "x.sqlite3.part"
    part.touch()
    Backup.objects.create(key="lost", vendor="sqlite", database="x", path=str(part))
    env.skip(timedelta(days=15))
    env.run(BackupWorkflow.run)
    assert Backup.objects.get(key="lost").status == BackupStatus.PRUNED
    assert not part.exists()


# -- what is left of an attempt that was cut off -----------------------------------------------------------------------


def test_a_dump_that_is_made_again_replaces_its_half(env: WorkflowEnvironment, directory: Path) -> None:
    calls = []

    def dump() -> Any:
        result = activities.dump_database()
        calls.append(result["backup_id"])
        if len(calls) == 1:
            raise OSError("the worker is lost after its dump")
        return result

    env.replace_activities({"dump_database": dump})
    env.run(BackupWorkflow.run)
    assert len(calls) == 2
    assert len(set(calls)) == 1, "both attempts are one backup"
    assert len(names(directory)) == 2


# -- PostgreSQL's programs ---------------------------------------------------------------------------------------------


def test_pg_dump_that_is_not_there_is_said(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings.POSTGRES_BIN = ""
    with pytest.raises(BackupProblem, match="pg_dump is not on the PATH of this worker: install") as caught:
        postgres._run("pg_dump", [], lambda: False)
    assert caught.value.final
    settings.POSTGRES_BIN = str(tmp_path)
    with pytest.raises(BackupProblem, match="not in POSTGRES_BIN"):
        postgres._run("pg_dump", [], lambda: False)


def test_a_program_that_fails_is_quoted(settings: Any, tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'aborting because of server version mismatch' >&2\nexit 1\n")
    program.chmod(0o755)
    settings.POSTGRES_BIN = str(tmp_path)
    with pytest.raises(BackupProblem, match="version mismatch") as caught:
        postgres._run("pg_dump", [], lambda: False)
    assert "POSTGRES_BIN" in str(caught.value)


def test_it_does_not_wait_for_its_own_transaction(db: None, tmp_path: Path) -> None:
    with pytest.raises(BackupProblem, match="inside a transaction"):
        sqlite.dump(tmp_path / "x", lambda: False)


def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(BackupProblem, match="sqlite or postgresql"):
        backups.engine("oracle")


# -- scratch databases -------------------------------------------------------------------------------------------------


on_postgres = pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL")


def scratches() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, 'weir_verify_') ORDER BY 1")
        return [name for (name,) in cursor.fetchall()]


@pytest.fixture
def left() -> Iterator[str]:
    """A scratch database whose worker was killed."""
    name = "weir_verify_20260101t000000_abc"
    postgres._run("createdb", ["--template=template0", "--maintenance-db=postgres", name], lambda: False)
    yield name
    postgres._drop(name, lambda: False)


@on_postgres
def test_no_scratch_database_is_left(env: WorkflowEnvironment, left: str) -> None:
    assert scratches() == [left]
    env.run(BackupWorkflow.run)
    assert scratches() == []


@on_postgres
def test_two_that_verify_at_once_leave_each_others_alone(transactional_db: None) -> None:
    with postgres._scratch(lambda: False) as mine:
        with postgres._scratch(lambda: False) as theirs:
            assert scratches() == sorted([mine, theirs])
        assert scratches() == [mine]
    assert scratches() == []


@on_postgres
def test_one_that_somebody_is_connected_to_waits_and_fails_no_verification(
    env: WorkflowEnvironment, left: str, caplog: pytest.LogCaptureFixture
) -> None:
    with postgres._another_connection(left) as other, other.cursor():
        assert env.run(BackupWorkflow.run)["status"] == "verified"
        assert scratches() == [left]
    assert (
        f"the scratch database {left}, whose worker was lost, cannot be dropped: somebody is connected" in caplog.text
    )
    env.run(BackupWorkflow.run)
    assert scratches() == []


@pytest.mark.real
def test_a_worker_that_is_killed_leaves_it_to_the_next(process_environment: dict[str, str]) -> None:
    code = (
        "import django, time; django.setup()\n"
        "from automation.domains.ops.backups import postgres\n"
        "with postgres._scratch(lambda: False) as name:\n"
        "    print(name, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, env=process_environment, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        name = worker.stdout.readline().strip()
        with postgres._scratch(lambda: False):
            assert name in scratches(), "its worker lives"
        worker.kill()
    assert name in scratches()

    def next_one() -> bool:
        with postgres._scratch(lambda: False):
            return name not in scratches()

    wait_until(next_one, message="the server has noticed, and the next verification drops it")
