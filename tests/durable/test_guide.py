"""The code of docs/workflows.md runs as it stands there."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from automation.durable import activity, completions, registry, workflow
from automation.durable.client import SyncClient
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ApplicationError, WorkflowFailureError
from automation.durable.testing import ActivityEnvironment, WorkflowEnvironment
from automation.durable.testing.fixtures import activity_environment, workflow_environment

__all__ = ["activity_environment", "workflow_environment"]  # fixtures

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "workflows.md"


@dataclasses.dataclass
class Order:
    """What the guide's OrderWorkflow is given."""

    lines: list[str]


def block_with(text: str) -> str:
    """The one block of Python in the guide that holds this text."""
    (found,) = [code for code in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL) if text in code]
    return str(found)


def run(code: str, **names: Any) -> dict[str, Any]:
    space = {"__name__": __name__, **names}
    exec(compile(code, str(GUIDE), "exec"), space)
    return space


@pytest.fixture
def env() -> Iterator[WorkflowEnvironment]:
    with WorkflowEnvironment.start_time_skipping() as one:
        yield one


def test_the_first_workflow(env: WorkflowEnvironment) -> None:
    space = run(block_with("class InvoiceReminders"))
    reminder = space["Reminder"]
    env.replace_activities({one.__name__: one for one in (space["is_paid"], space["remind"])})
    began = env.now
    assert env.run(space["InvoiceReminders"], reminder(3, "ada@example.com")) == ["reminded ada@example.com of 3"] * 3
    assert env.now - began == timedelta(weeks=3)
    assert env.run(space["InvoiceReminders"], reminder(4, "ada@example.com")) == []


def test_the_first_workflow_is_found_with_its_activities_in_one_module(tmp_path: Path) -> None:
    app = tmp_path / "invoices"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "workflows.py").write_text(block_with("class InvoiceReminders"))
    (tmp_path / "its_settings.py").write_text(
        "from project.settings import *\n\nINSTALLED_APPS = [*INSTALLED_APPS, 'invoices']\n"
    )
    done = subprocess.run(
        [sys.executable, "manage.py", "list_workflows", "--json"],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "its_settings",
            "WEIR_VAR_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {one["name"]: one["kind"] for one in json.loads(done.stdout) if one["place"].startswith("invoices.")}
    assert found == {"InvoiceReminders": "workflow", "is_paid": "activity", "remind": "activity"}


def test_the_saga(env: WorkflowEnvironment) -> None:
    space = run(
        block_with("class Trip"),
        workflow=workflow,
        timedelta=timedelta,
        RetryPolicy=RetryPolicy,
        ActivityError=ActivityError,
    )
    done: list[str] = []

    def reserve(trip: str, part: str) -> None:
        if part == "car":
            raise ApplicationError("no car left", non_retryable=True)
        done.append(part)

    env.replace_activities({"reserve": reserve, "release": lambda trip, part: done.append(f"-{part}")})
    with pytest.raises(WorkflowFailureError):
        env.run(space["Trip"], "Rome")
    assert done == ["flight", "hotel", "-car", "-hotel", "-flight"]


def test_signals_queries_and_updates(env: WorkflowEnvironment) -> None:
    @activity.defn(name="guide_reserve")
    def reserve(line: str) -> None:
        reserved.append(line)

    reserved: list[str] = []
    names = {"workflow": workflow, "timedelta": timedelta, "Order": Order, "reserve": reserve}
    space = run(block_with("class OrderWorkflow"), **names)
    env.replace_activities([reserve])
    handle = env.start(space["OrderWorkflow"], Order(["ink"]))
    assert handle.update("add_line", "a pen") == 2
    assert handle.query("lines") == ["ink", "a pen"]
    handle.signal("approve")
    assert handle.result() == "shipped"
    assert reserved == ["a pen"]


@pytest.mark.django_db
def test_a_schedule() -> None:
    @workflow.defn(name="WeeklyReport")
    class WeeklyReport:
        @workflow.run
        async def run(self, what: str) -> None: ...

    with registry.scoped():
        registry.register_workflow(WeeklyReport)
        run(block_with("create_schedule"), WeeklyReport=WeeklyReport)
    spec = SyncClient().get_schedule_handle("monday-report").describe().schedule.spec
    assert spec.time_zone_name == "Europe/Paris"


def test_what_it_says_of_testing(workflow_environment: WorkflowEnvironment) -> None:
    @workflow.defn(name="guide_reminders")
    class Reminders:
        @workflow.run
        async def run(self, invoice: int) -> None:
            for number in range(1, 9):
                limit = timedelta(minutes=1)
                await workflow.execute_activity("send_reminder", args=[invoice, number], start_to_close_timeout=limit)
                await workflow.sleep(timedelta(weeks=1))

    names = {"Reminders": Reminders, "invoice": SimpleNamespace(id=4), "timedelta": timedelta}
    run(block_with("test_three_reminders"), **names)["test_three_reminders_a_week_apart"](workflow_environment)


def test_what_it_says_of_testing_one_activity(activity_environment: ActivityEnvironment) -> None:
    @activity.defn(name="guide_import_rows")
    def import_rows(name: str) -> int:
        details = activity.info().heartbeat_details
        done = rows = int(details[0]) if details else 0
        while rows < 100:
            rows += 1
            activity.heartbeat(rows)
        return rows - done

    space = run(block_with("test_import_goes_on"), import_rows=import_rows, dataclasses=dataclasses)
    space["test_import_goes_on_where_it_stopped"](activity_environment)


def test_an_activity_that_is_completed_from_outside(env: WorkflowEnvironment) -> None:
    tokens: list[str] = []
    code, later = block_with("ask_for_approval").split("# in a view")
    space = run(code, activity=activity, send_mail=lambda order, token: tokens.append(token))

    @workflow.defn(name="guide_approval")
    class Approval:
        @workflow.run
        async def run(self, order: int) -> bool:
            limit = timedelta(days=3)
            return bool(await workflow.execute_activity(space["ask_for_approval"], order, start_to_close_timeout=limit))

    env.replace_activities([space["ask_for_approval"]])
    handle = env.start(Approval.run, 4711)
    assert handle.status == "running"
    (token,) = tokens
    run(later.partition("\n")[2], completions=completions, token=token)
    assert handle.result() is True


def test_every_block_is_python() -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) > 10
    for code in blocks:
        compile(code, str(GUIDE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_import_of_the_guide_is_there() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL))
    imports = re.findall(r"^from automation\.[\w.]+ import (?:\([^)]*\)|.*)$", code, re.MULTILINE)
    table = re.findall(r"\| `from temporalio.*?` \| `(from .*?)` \|", GUIDE.read_text())
    assert len(imports) >= 4
    assert len(table) >= 6
    for statement in (*imports, *table):
        run(statement)
