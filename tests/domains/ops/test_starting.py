"""Operations as an operator starts them: by name, with parameters as text and as JSON."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from automation.domains.ops.models import PlanRun
from automation.durable.testing import WorkflowEnvironment
from automation.errors import InvalidInput
from automation.services import running
from tests.support.receiver import HttpReceiver

PLAN = {"name": "web", "steps": [{"name": "a", "run": [sys.executable, "-c", "print('released')"], "retries": 1}]}


def test_a_plan_comes_as_json(env: WorkflowEnvironment, settings: Any) -> None:
    settings.OPS_RUNNERS = ["local"]
    id = running.start("DeploymentWorkflow", values=PLAN)
    assert env.handle(id).result()["status"] == "succeeded"
    assert PlanRun.objects.get().commands.get().stdout == "released\n"


def test_a_plan_of_another_shape_is_refused(env: WorkflowEnvironment) -> None:
    for plan, problem in (
        ({**PLAN, "step": []}, "did you mean 'steps'"),
        ({"steps": PLAN["steps"]}, "name"),
        ({"name": "web", "steps": [{"run": ["true"]}]}, "steps"),
    ):
        with pytest.raises(InvalidInput) as caught:
            running.start("DeploymentWorkflow", values=plan)
        assert problem in f"{caught.value} {caught.value.fields}"


def test_what_to_watch_comes_as_text(env: WorkflowEnvironment, http_receiver: HttpReceiver) -> None:
    urls = [http_receiver.url("/a"), http_receiver.url("/b")]
    id = running.start("MonitoringWorkflow", texts={"urls": ",".join(urls), "rounds": "2", "interval_seconds": "5"})
    assert env.handle(id).result() == {"rounds": 2, "down": {}}
    assert len(http_receiver.requests) == 4
