"""What code and organizers define: listed, validated, scaffolded, tested."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command, load_command_class
from django.core.management.base import CommandError

from automation.durable import activity, registry, starts
from automation.management import commands
from automation.management.base import OperatorCommand
from automation.management.commands import test as test_command
from automation.models import Alert, Workflow
from automation.services import catalogue
from tests.automation.factories import make_workflow
from tests.commands.conftest import Run

ROOT = Path(__file__).resolve().parents[2]


def listed(run: Run, *words: str) -> dict[str, dict[str, object]]:
    return {entry["name"]: entry for entry in json.loads(run("list_workflows", *words, "--json"))}


def test_it_lists_what_is_registered_by_domain(run: Run) -> None:
    everything = listed(run)
    assert everything["TestWorkflow"]["domain"] == everything["system_echo"]["domain"] == "system"
    assert everything["automation"]["domain"] == everything["execute_email_action"]["domain"] == "automation"
    assert everything["flows_echo"]["domain"] == "flows", "any other app's label"
    assert everything["flows_elsewhere"]["queue"] == "estuary-background"
    assert set(listed(run, "--domain", "system")) == {"TestWorkflow", "system_echo"}
    assert set(listed(run, "--domain", "system", "--workflows-only")) == {"TestWorkflow"}
    assert set(listed(run, "--domain", "system", "--activities-only")) == {"system_echo"}
    assert "BookingWorkflow" in listed(run, "--domain", "bookings", "--workflows-only")
    practitioners = listed(run, "--domain", "practitioners", "--workflows-only")
    assert "services_configured" in practitioners["PractitionerOnboardingWorkflow"]["signals"]
    assert practitioners["PractitionerOnboardingWorkflow"]["queries"] == ["progress"]


@pytest.mark.parametrize(
    ("place", "domain"),
    [
        ("automation.domains.booking.workflows.BookingWorkflow", "booking"),
        ("automation.domains.room.deep.er.activities.make", "room"),
        ("automation.workflows.AutomationWorkflow", "automation"),
        ("automation.system.TestWorkflow", "system"),
        ("tests.flows.workflows.Script", "flows"),
        ("elsewhere.things.Workflow", "elsewhere"),
    ],
)
def test_the_domain_is_where_it_is_defined(place: str, domain: str) -> None:
    assert catalogue.domain_of(place) == domain


def test_the_details_say_what_it_takes(run: Run) -> None:
    text = run("list_workflows", "--domain", "system", "--detailed")
    assert "  TestWorkflow                     One activity, one timer, one chord." in text
    assert "takes: message (str, default 'hello'), seconds (float, default 1.0), members (int, default 3)" in text
    assert "queue: estuary-workflows" in text


def test_a_workflow_without_actions_is_found_and_switched_off(run: Run, db: None) -> None:
    workflow = make_workflow("booking_created", name="Empty")
    workflow.actions.all().delete()
    with pytest.raises(CommandError, match="1 left to mend"):
        run("validate_workflows")
    assert Alert.objects.filter(closed_at=None).count() == 1

    said = run("validate_workflows", "--fix")
    assert f"✓ switched off: workflow {workflow.pk}: 'Empty' has no active action." in said
    assert "All workflows are in order." in said
    assert not Workflow.objects.get(pk=workflow.pk).is_active
    assert not Alert.objects.filter(closed_at=None).exists(), "its alert ended with it"


def test_an_execution_without_code_is_found(run: Run, db: None) -> None:
    assert run("validate_workflows") == "All workflows are in order.\n"
    starts.start_many([starts.NewExecution("gone_from_the_code")])
    with pytest.raises(CommandError):
        run("validate_workflows")


def test_a_definition_that_cannot_be_read_is_found(
    run: Run, db: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bad(value: Misspelt) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    monkeypatch.setattr(registry, "_activities", dict(registry._activities))
    registry.register_activity(activity.defn(name="commands_bad")(bad))
    with pytest.raises(CommandError):
        call_command("validate_workflows")
    assert "activity commands_bad (" in (said := capsys.readouterr().out)
    assert "its annotations cannot be read" in said


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project, for a command that writes into it."""
    for name in ("automation", "beat_schedules", "project", "tasks", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name)  # what is compiled, too: its times are kept
    for name in ("manage.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def manage(root: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")} | {
        "TEST_DATABASE_URL": "sqlite://",
        "WEIR_VAR_DIR": str(root / "var"),
    }
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_domain_works_at_once(copy: Path) -> None:
    said = manage(copy, "startdomain", "warehouse")
    assert "wrote automation/domains/warehouse/workflows.py" in said
    assert "Its queue is estuary-warehouse: add it to a worker's --queues in the Procfile" in said
    assert said.endswith("Next: python manage.py test warehouse\n")

    found = json.loads(manage(copy, "list_workflows", "--domain", "warehouses", "--json"))
    assert [(entry["name"], entry["domain"]) for entry in found] == [
        ("WarehouseWorkflow", "warehouse"),
        ("warehouse_greet", "warehouse"),
    ]
    assert found[0]["queue"] == "estuary-warehouse"
    assert "--queues estuary-warehouse" in manage(copy, "start_workflows_worker", "--domain", "warehouse", "--print")
    assert "1 passed" in manage(copy, "test", "warehouse", "--", "-q")


def test_a_domain_whose_workflow_would_have_a_name_that_is_taken_works_too(copy: Path) -> None:
    for name, workflow in (("refund", "RefundGreetingWorkflow"), ("match", "MatchWorkflow")):
        manage(copy, "startdomain", name)
        [found] = json.loads(manage(copy, "list_workflows", "--domain", name, "--workflows-only", "--json"))
        assert found["name"] == workflow
    assert "2 passed" in manage(copy, "test", "refund", "matchs", "--", "-q")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My-Domain", "cannot name a domain: expected a Python name in lower case"),
        ("class", "cannot name a domain"),
        ("bookings", "'bookings' is the plural of the domain 'booking': startdomain booking"),
        ("critical", "'critical' is taken"),
        ("sessions", "'sessions' is taken by the Django app django.contrib.sessions"),
        ("auth", "'auth' is taken by the Django app django.contrib.auth"),
        ("op", "the plural of 'op' would be the domain 'ops'"),
        ("", "cannot name a domain"),
        ("1st", "cannot name a domain"),
        ("__init__", "cannot name a domain"),
        ("größe", "cannot name a domain"),
        ("a.b", "cannot name a domain"),
        ("../evil", "cannot name a domain"),
        ("x" * 51, "at most 50 characters"),
    ],
)
def test_a_domain_has_a_name_that_can_be_one(name: str, said: str, run: Run) -> None:
    with pytest.raises(CommandError) as caught:
        run("startdomain", name)
    assert said in str(caught.value)


def test_a_domain_that_exists_is_left_alone(tmp_path: Path, run: Run, settings: object) -> None:
    settings.BASE_DIR = tmp_path  # type: ignore[attr-defined]
    run("startdomain", "warehouse")
    kept = tmp_path / "automation" / "domains" / "warehouse" / "workflows.py"
    kept.write_text("# mine")
    with pytest.raises(CommandError, match="automation/domains/warehouse exists"):
        run("startdomain", "warehouse")
    assert kept.read_text() == "# mine"


def test_a_test_of_that_name_is_left_alone(tmp_path: Path, run: Run, settings: object) -> None:
    settings.BASE_DIR = tmp_path  # type: ignore[attr-defined]
    taken = tmp_path / "tests" / "domains" / "test_warehouse.py"
    taken.parent.mkdir(parents=True)
    taken.touch()
    with pytest.raises(CommandError, match=r"tests/domains/test_warehouse\.py exists"):
        run("startdomain", "warehouse")
    assert not (tmp_path / "automation").exists()


def test_tests_are_found_by_domain_package_and_path(tmp_path: Path) -> None:
    for name in ("tests/domains/booking/test_a.py", "tests/domains/test_room.py", "tests/durable/test_loop.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert test_command.find("bookings", tmp_path) == ["tests/domains/booking"]
    assert test_command.find("room", tmp_path) == ["tests/domains/test_room.py"]
    assert test_command.find("durable", tmp_path) == ["tests/durable"]
    assert test_command.find("durable/test_loop.py", tmp_path) == ["tests/durable/test_loop.py"]
    assert test_command.find("tests/durable", tmp_path) == ["tests/durable"]
    with pytest.raises(CommandError, match=r"there are no tests for 'durabel'; did you mean 'durable'\?"):
        test_command.find("durabel", tmp_path)


def test_the_exit_code_is_that_of_pytest() -> None:
    with pytest.raises(SystemExit) as caught:
        call_command("test", "commands", "-k no_test_has_this_name")
    assert caught.value.code == 5, "pytest's, for having collected nothing"


def test_every_command_of_the_operator_has_an_example() -> None:
    names = [info.name for info in pkgutil.iter_modules(commands.__path__)]
    found = {name: load_command_class("automation", name) for name in names}
    ours = {name: command for name, command in found.items() if isinstance(command, OperatorCommand)}
    assert len(ours) >= 18
    for name, command in ours.items():
        assert importlib.import_module(f"automation.management.commands.{name}").__doc__
        text = command.create_parser("manage.py", name).format_help()
        assert f"  python manage.py {name}" in text
        assert command.help
