"""`manage.py workflows`: examples in files, export and import."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from automation.models import EventType, User, Workflow
from automation.services import workflows as service

FILES = Path(__file__).parent / "workflow_files"


def run(*arguments: Any, fails: str = "") -> str:
    out = io.StringIO()
    if fails:
        with pytest.raises(CommandError, match=fails):
            call_command("workflows", *map(str, arguments), stdout=out)
    else:
        call_command("workflows", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def organizer(db: None) -> User:
    return User.objects.create_user("olga@example.com")


def test_examples_that_hold_pass_and_leave_nothing(db: None) -> None:
    out = run("test", FILES)
    assert out.splitlines()[-1] == "3 passed, 0 failed"
    assert "PASSED" in out
    assert "Large groups :: seven are many" in out
    assert not any(model.objects.exists() for model in (Workflow, User, EventType))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("value: 5}", "value: 4}"), "five are not\n       Heads-up: status is 'runs', expected 'skipped_conditions'"),
        (("A group of 7", "A group of 8"), "Heads-up: subject is 'A group of 7', expected 'A group of 8'"),
        (("contains: Zoë", "contains: Zoe"), "Heads-up: text does not contain 'Zoe'"),
        (("Heads-up: skipped_conditions", "Nobody: runs"), "Nobody: there is no such action; there are 'Heads-up'"),
        (("Heads-up: skipped_conditions", "Heads-up: flies"), "'flies' is no status; there are runs, fails"),
        (("attendee_count: 7", "atendee_count: 7"), "There is no field 'atendee_count'; did you mean attendee_count?"),
        (("trigger: booking_created", "trigger: full_moon"), "trigger: 'full_moon' is none of booking_created"),
        (("weir: 1", "weir: 7"), "7 is no version of this format"),
        (("  booking: {attendee_count: 5}", "  at: soon"), "'soon' is no moment"),
        (("tests:", "tests: none\nmore:"), "'tests' is no list of examples"),
    ],
)
def test_what_does_not_hold_fails_and_says_why(db: None, tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    text = (FILES / "large-group.yaml").read_text()
    assert change[0] in text
    (tmp_path / "changed.yaml").write_text(text.replace(*change))
    out = run("test", tmp_path, fails="examples failed")
    assert problem in out
    assert "FAILED" in out


def test_a_path_without_files_is_an_error(tmp_path: Path) -> None:
    run("test", tmp_path, fails="There is no workflow file")
    run("test", tmp_path / "none", fails="There is no file or directory")


def test_workflows_go_out_and_come_in(organizer: User, tmp_path: Path) -> None:
    service.create(organizer, name="One", trigger="booking_created", delay_minutes=3)
    service.create(organizer, name="Two", trigger="booking_cancelled")
    file = tmp_path / "out.yaml"
    assert "2 workflows" in run("export", "--organizer", "OLGA@example.com", "--output", file)
    assert yaml.safe_load(run("export", "--organizer", organizer.email, "--name", "One"))["workflow"]["name"] == "One"
    run("export", "--organizer", organizer.email, "--name", "Three", fails="there are One, Two")
    run("export", "--organizer", "nobody@example.com", fails="There is no user")
    run("import", file, "--organizer", organizer.email, fails="Nothing was imported")

    file.write_text(file.read_text().replace("delay_minutes: 3", "delay_minutes: 4"))
    out = run("import", file, "--organizer", organizer.email, "--mode", "update", "--dry-run")
    assert out.splitlines() == ["would be updated: One", "  delay_minutes: 3 → 4", "would be unchanged: Two"]
    assert Workflow.objects.get(name="One").delay_minutes == 3
    run("import", file, "--organizer", organizer.email, "--mode", "update")
    assert Workflow.objects.get(name="One").delay_minutes == 4
    run("import", tmp_path / "none.yaml", "--organizer", organizer.email, fails="cannot be read")
