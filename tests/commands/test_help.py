"""Every command, and every word of one, has examples in its --help, and they are what it takes; what is mistyped is
answered with the nearest."""

from __future__ import annotations

import argparse
import io
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class
from django.core.management.base import CommandError
from django.db import OperationalError

from automation.management import commands
from automation.management.base import OperatorCommand
from tests.commands.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
NAMES = [info.name for info in pkgutil.iter_modules(commands.__path__)]


def parsers(parser: argparse.ArgumentParser, words: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A command's parser and those of its words, but for other spellings of one."""
    yield words, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            seen = set()
            for word, below in action.choices.items():
                if id(below) not in seen:
                    seen.add(id(below))
                    yield from parsers(below, f"{words} {word}")


def of_command(name: str) -> Any:
    return load_command_class("automation", name).create_parser("manage.py", name)


PLACES = [place for name in NAMES for place, _ in parsers(of_command(name), name)]


@pytest.mark.parametrize("place", PLACES)
def test_help_has_examples_that_are_taken(place: str) -> None:
    name = place.split(maxsplit=1)[0]
    parser = dict(parsers(of_command(name), name))[place]
    start = f"  python manage.py {place}"
    lines = parser.format_help().splitlines()
    examples = [line for line in lines if line == start or line.startswith(f"{start} ")]
    assert examples, f"{place} --help has no example of it"
    for example in examples:
        words = shlex.split(example)[3:]
        of_command(name).parse_args(words)  # raises where it is not what it takes


def documented() -> list[str]:
    """The command lines of the docs, without `python manage.py`."""
    pages = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    text = "\n".join(page.read_text() for page in pages)
    lines = [line.strip() for line in re.findall(r"python manage\.py ([^`\n]+)", text)]
    return [line for line in dict.fromkeys(lines) if line.split()[0] in NAMES and "…" not in line]


@pytest.mark.parametrize("line", documented())
def test_what_the_docs_say_is_taken(line: str) -> None:
    """`<booking>` and the like stand for an id; what is behind `>` is the shell's."""
    name, *words = shlex.split(re.sub(r"<[a-z]+>", "1", line).partition(" > ")[0])
    of_command(name).parse_args(words)


def test_every_command_is_there() -> None:
    assert len(NAMES) >= 21
    assert all(isinstance(load_command_class("automation", name), OperatorCommand) for name in NAMES)
    assert len(PLACES) >= 50, "with the words of executions, workflows and the triggers"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("executions lst", "did you mean 'list'?"),
        ("executions list --staus failed", "did you mean '--status'?"),
        ("trigger_payment_workflows refnd 12", "did you mean 'refund'?"),
        ("trigger_payment_workflows refund 12 --amuont=10", "did you mean '--amount'?"),
        ("trigger_practitioner_workflows onbording 1", "did you mean 'onboarding'?"),
        ("trigger_booking_workflows lifcycle x", "did you mean 'lifecycle'?"),
        ("start_workflows_worker --preset critcal", "did you mean 'critical'?"),
        ("start_all_workers --domians booking", "did you mean '--domains'?"),
        ("sync_schedules --dryrun", "did you mean '--dry-run'?"),
        ("workflows tset x", "did you mean 'test'?"),
    ],
)
def test_what_is_mistyped_is_answered_with_the_nearest(words: str, hint: str) -> None:
    name, *rest = words.split()
    with pytest.raises(CommandError) as caught:
        of_command(name).parse_args(rest)
    assert str(caught.value).endswith(hint)


def test_what_is_like_nothing_gets_no_hint() -> None:
    with pytest.raises(CommandError) as caught:
        of_command("sync_schedules").parse_args(["--qqqq"])
    assert str(caught.value) == "Error: unrecognized arguments: --qqqq"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("executions", "required: WHAT; one of list, show, history, cancel, terminate, pause, resume, retry, redrive,"),
        ("trigger_practitioner_workflows", "; one of onboarding, renewal"),
        ("trigger_booking_workflows batch-reminders --hours -3", "argument --hours: expected hours from 0, got '-3'"),
    ],
)
def test_what_is_missing_or_wrong_is_said_with_what_would_be_right(words: str, said: str) -> None:
    name, *rest = words.split()
    with pytest.raises(CommandError) as caught:
        of_command(name).parse_args(rest)
    assert said in str(caught.value)


def test_a_wrong_line_is_answered_with_one_that_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    parser = of_command("executions")
    parser.called_from_command_line = True
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["lst"])
    assert caught.value.code == 2
    error, example, all_of_it = capsys.readouterr().err.splitlines()
    assert error.startswith("manage.py executions: error: argument WHAT: invalid choice: 'lst'")
    assert example.startswith("for example: python manage.py executions ")
    assert all_of_it == "all it takes: python manage.py executions --help"


def test_nothing_is_said_twice(run: Run) -> None:
    with pytest.raises(CommandError) as caught:
        run("start_worker", "--domain", "bookng", "--print")
    assert str(caught.value) == "there is no domain named 'bookng'; did you mean 'booking'?"


def test_a_workflow_that_there_is_not_is_no_empty_list(run: Run, db: None) -> None:
    assert run("executions", "list", "--workflow", "TestWorkflow") == "No executions.\n"
    assert "did you mean 'TestWorkflow'?" in run("executions", "list", "--workflow", "TestWorkflw")


@pytest.mark.parametrize(("queue", "near"), [("paymnts", "payment"), ("estuary-paymets", "estuary-payment")])
def test_a_queue_that_is_nearly_ours_is_doubted(queue: str, near: str, run: Run) -> None:
    command = load_command_class("automation", "start_worker")
    command.stderr = err = io.StringIO()
    command.doubt_queues(queue)
    assert f"did you mean {near!r}?" in err.getvalue()
    assert f"--queues {queue} " in run("start_worker", "--task-queue", queue, "--print"), "it is served all the same"


def test_the_crew_says_what_it_would_run(run: Run) -> None:
    printed = run("start_all_workers", "--domains", "bookings", "room", "--max-concurrent-activities", "2", "--print")
    assert [shlex.split(line)[2:] for line in printed.splitlines()] == [
        ["start_workflows_worker", "--domain", name, "--name", name, "--max-concurrent-activities", "2"]
        for name in ("booking", "room")
    ]


@pytest.mark.parametrize("queue", ["payments", "our-own", "workflows,critical", "estuary-room", ""])
def test_a_queue_that_is_known_or_like_nothing_is_not_doubted(queue: str) -> None:
    command = load_command_class("automation", "start_worker")
    command.stderr = err = io.StringIO()
    command.doubt_queues(queue)
    assert not err.getvalue()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no such table: automation_lease", "bring it up to date with: python manage.py migrate"),
        ('relation "automation_lease" does not exist\nLINE 1: …', "bring it up to date with: python manage.py migrate"),
        ("connection failed: Connection refused", "the database that DATABASE_URL names cannot be used: connection"),
    ],
)
def test_a_database_that_is_not_ready_is_said_in_one_line(
    text: str, said: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise OperationalError(text)

    monkeypatch.setattr("automation.services.schedules.sync", broken)
    with pytest.raises(CommandError) as caught:
        run("sync_schedules")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_word_that_belongs_to_nothing_is_an_error_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "trigger_workflow", "TestWorkflow", "-x"],
        cwd=ROOT,
        env={"TEST_DATABASE_URL": "sqlite://", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert "unexpected '-x': parameters are given as --name value" in done.stderr
    assert "Traceback" not in done.stderr
