"""The code of docs/workflows.md runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from automation.durable import workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ApplicationError, WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "workflows.md"


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


def test_every_import_of_the_guide_is_there() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL))
    imports = re.findall(r"^from automation\.[\w.]+ import (?:\([^)]*\)|.*)$", code, re.MULTILINE)
    table = re.findall(r"\| `from temporalio.*?` \| `(from .*?)` \|", GUIDE.read_text())
    assert len(imports) >= 4
    assert len(table) >= 6
    for statement in (*imports, *table):
        run(statement)
