"""Deployments and provisionings: real commands on this host, health checks of a real server, undone in reverse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from automation.domains.ops.activities import run_plan_command
from automation.domains.ops.activities.plans import PlannedCommand
from automation.domains.ops.models import PlanCommand, PlanRun, PlanStatus
from automation.domains.ops.plans import Plan, PlanStep, problems
from automation.domains.ops.workflows import DeploymentWorkflow, ProvisioningWorkflow
from automation.durable import activity, control
from automation.durable.exceptions import CancelledError, WorkflowFailureError
from automation.durable.testing import ActivityEnvironment, WorkflowEnvironment
from automation.models import Alert, ExecutionStatus
from tests.domains.handles import ask
from tests.domains.ops.conftest import cause
from tests.support.receiver import HttpReceiver, Reply


@pytest.fixture(autouse=True)
def _allowed(settings: Any) -> None:
    settings.OPS_RUNNERS = ["local", "ssh"]


class Host:
    """A directory in which steps make files, and a journal of what was run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journal = directory / "journal"

    def step(self, name: str, run: str = "", undo: str | None = "", **fields: Any) -> PlanStep:
        """Makes the file `name`; undoing removes it. More shell code can be said for both."""
        return PlanStep(
            name=name,
            run=["sh", "-c", f"echo run {name} >> journal; {run or f'touch {name}'}"],
            undo=[] if undo is None else ["sh", "-c", f"echo undo {name} >> journal; {undo or f'rm -f {name}'}"],
            cwd=str(self.directory),
            **{"health_interval_seconds": 1.0, "health_attempts": 3, **fields},
        )

    def check(self, name: str) -> list[str]:
        return ["test", "-e", name]

    @property
    def done(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()} - {"journal"}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    directory = tmp_path / "host"
    directory.mkdir()
    return Host(directory)


def deploy(env: WorkflowEnvironment, *steps: PlanStep, **fields: Any) -> Any:
    return env.run(DeploymentWorkflow.run, Plan("web", list(steps), **fields))


def failed(env: WorkflowEnvironment, *steps: PlanStep, **fields: Any) -> Any:
    """The error of a deployment that fails."""
    with pytest.raises(WorkflowFailureError) as caught:
        deploy(env, *steps, **fields)
    return cause(caught)


# -- deployments -------------------------------------------------------------------------------------------------------


def test_steps_are_run_in_their_order(env: WorkflowEnvironment, host: Host) -> None:
    result = deploy(env, host.step("a"), host.step("b"), host.step("c"))
    assert [(step["name"], step["status"]) for step in result["steps"]] == [("a", "done"), ("b", "done"), ("c", "done")]
    assert host.done == ["run a", "run b", "run c"]
    run = PlanRun.objects.get(pk=result["run_id"])
    assert (run.kind, run.name, run.status) == ("deployment", "web", PlanStatus.SUCCEEDED)
    assert list(run.commands.values_list("step", "phase", "exit_code")) == [(name, "run", 0) for name in "abc"]


def test_a_failed_step_undoes_what_was_done_in_reverse(env: WorkflowEnvironment, host: Host) -> None:
    error = failed(env, host.step("a"), host.step("b"), host.step("c", "echo no disk >&2; exit 7"), host.step("d"))
    assert host.done == ["run a", "run b", "run c", "undo b", "undo a"]
    assert host.files == set()
    assert error.type == "PlanFailed"
    assert "c: exit code 7" in str(error)
    assert "no disk" in str(error)
    [report] = error.details
    assert report["status"] == "undone"
    assert [(step["name"], step["status"], step.get("undone")) for step in report["steps"]] == [
        ("a", "done", "yes"),
        ("b", "done", "yes"),
        ("c", "failed", None),
    ]
    assert PlanRun.objects.get().status == PlanStatus.UNDONE
    assert not Alert.objects.exists()


def test_a_step_that_takes_too_long_is_ended_and_undone(env: WorkflowEnvironment, host: Host) -> None:
    error = failed(env, host.step("a"), host.step("b", "exec sleep 600", timeout_seconds=0.5))
    assert "timed out" in str(error)
    assert host.done == ["run a", "run b", "undo a"]
    assert PlanCommand.objects.get(step="b", phase="run").exit_code is None


def test_a_half_done_step_is_undone_where_it_says_so(env: WorkflowEnvironment, host: Host) -> None:
    failed(env, host.step("a"), host.step("b", "touch b; exit 1", undo_partial=True))
    assert host.done == ["run a", "run b", "undo b", "undo a"]
    assert host.files == set()


def test_a_step_is_run_again_as_often_as_it_says(env: WorkflowEnvironment, host: Host) -> None:
    flaky = "test -e tried && touch b || { touch tried; exit 1; }"
    assert deploy(env, host.step("b", flaky, retries=1))["status"] == "succeeded"
    assert host.done == ["run b", "run b"]


def test_what_cannot_be_undone_is_told_and_the_rest_is(env: WorkflowEnvironment, host: Host) -> None:
    error = failed(
        env, host.step("a"), host.step("b", undo="exit 9"), host.step("c", undo=None), host.step("d", "false")
    )
    assert host.done == ["run a", "run b", "run c", "run d", "undo b", "undo a"]
    assert (error.type, "b could not be undone: exit code 9" in str(error)) == ("PlanStuck", True)
    undone = {step["name"]: step.get("undone") for step in error.details[0]["steps"]}
    assert (undone["a"], undone["c"]) == ("yes", "there is no undo")
    assert PlanRun.objects.get().status == PlanStatus.STUCK
    alert = Alert.objects.get(closed_at=None)
    assert "half done" in alert.message
    deploy(env, host.step("a"))
    assert not Alert.objects.filter(closed_at=None).exists(), "a good deployment closes it"


def test_health_is_waited_for(env: WorkflowEnvironment, host: Host, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/health", Reply(status=503), Reply(status=503), Reply())
    started = env.now
    deploy(env, host.step("a", health_url=http_receiver.url("/health"), health_interval_seconds=20))
    assert (env.now - started).total_seconds() == pytest.approx(40, abs=1)
    assert len(http_receiver.to("/health")) == 3


def test_a_step_that_does_not_get_healthy_is_undone_too(
    env: WorkflowEnvironment, host: Host, http_receiver: HttpReceiver
) -> None:
    http_receiver.on("/health", Reply(status=500))
    error = failed(env, host.step("a"), host.step("b", health_url=http_receiver.url("/health")))
    assert "b: it is not healthy" in str(error)
    assert host.done == ["run a", "run b", "undo b", "undo a"]
    assert len(http_receiver.to("/health")) == 3


def test_a_command_can_tell_health(env: WorkflowEnvironment, host: Host) -> None:
    healthy = ["sh", "-c", f"test -e {host.directory}/warm || {{ touch {host.directory}/warm; exit 1; }}"]
    deploy(env, host.step("a", health=healthy))
    assert PlanCommand.objects.filter(phase="health").count() == 2
    error = failed(env, host.step("b", health=["false"]))
    assert "b: it is not healthy: exit code 1" in str(error)


def test_the_whole_is_asked_in_the_end(env: WorkflowEnvironment, host: Host, http_receiver: HttpReceiver) -> None:
    http_receiver.on("/", Reply(status=500))
    error = failed(
        env,
        *(host.step("a"), host.step("b")),
        health_url=http_receiver.url("/"),
        health_attempts=2,
        health_interval_seconds=1,
    )
    assert "not healthy" in str(error)
    assert host.done == ["run a", "run b", "undo b", "undo a"]


def test_cancelling_undoes_too(env: WorkflowEnvironment, host: Host) -> None:
    never = host.step("b", health=["false"], health_attempts=100, health_interval_seconds=600)
    handle = env.start(DeploymentWorkflow.run, Plan("web", [host.step("a"), never]))
    assert [step["status"] for step in ask(handle, "progress")] == ["done", "running"]
    handle.cancel("the wrong version")
    assert handle.has_ended()
    assert handle.status == ExecutionStatus.CANCELLED
    assert host.done == ["run a", "run b", "undo b", "undo a"]
    assert PlanRun.objects.get().status == PlanStatus.UNDONE


def test_a_command_that_got_done_meanwhile_is_undone(env: WorkflowEnvironment, host: Host) -> None:
    def run(command: PlannedCommand) -> Any:
        if command.step == "b" and command.phase == "run":
            control.cancel(activity.info().execution_id, "the wrong version")
        return run_plan_command(command)

    env.replace_activities({"run_plan_command": run})
    handle = env.start(DeploymentWorkflow.run, Plan("web", [host.step("a"), host.step("b"), host.step("c")]))
    with pytest.raises(WorkflowFailureError):
        handle.result()
    assert handle.status == ExecutionStatus.CANCELLED
    assert host.done == ["run a", "run b", "undo b", "undo a"]
    assert PlanRun.objects.get().status == PlanStatus.UNDONE


def test_a_command_that_is_to_stop_is_ended(db: None, host: Host) -> None:
    run = PlanRun.objects.create(key="k", kind="deployment", name="web", runner="local")
    environment = ActivityEnvironment()
    environment.cancel()
    with pytest.raises(CancelledError):
        environment.run(run_plan_command, PlannedCommand(run.pk, "a", "run", ["sleep", "600"], 600))
    assert run.commands.get().exit_code is None


def test_a_runner_that_is_not_allowed_runs_nothing(env: WorkflowEnvironment, host: Host, settings: Any) -> None:
    settings.OPS_RUNNERS = []
    error = failed(env, host.step("a"))
    assert "OPS_RUNNERS=local" in str(error)
    assert host.done == []


def test_steps_can_go_to_other_hosts(
    env: WorkflowEnvironment, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ssh"
    program.write_text(
        f'#!/bin/sh\nfor last; do :; done\necho "$@" >> {tmp_path}/given\n'
        f'[ -e {tmp_path}/up ] || {{ touch {tmp_path}/up; echo "no route to host" >&2; exit 255; }}\n'
        'exec sh -c "$last"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    deploy(env, host.step("a"), host.step("b", target="db-1"), runner="ssh", target="web-1")
    assert host.done == ["run a", "run b"], "a host that could not be reached was tried again"
    given = (tmp_path / "given").read_text().splitlines()
    assert [line.split(" env ")[0].split()[-4] for line in given] == ["web-1", "web-1", "db-1"]


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (Plan("", []), "name: it is empty; steps: there are none"),
        (Plan("x", [PlanStep("a", ["true"]), PlanStep("a", ["true"])]), "2 are named 'a'"),
        (Plan("x", [PlanStep("a", [])]), "steps[0].run: it is empty"),
        (Plan("x", [PlanStep("a", ["tr\0ue"])]), "steps[0].run: 'tr\\x00ue'"),
        (Plan("x", [PlanStep("a", ["true"], timeout_seconds=0)]), "steps[0].timeout_seconds"),
        (Plan("x", [PlanStep("a", ["true"], retries=-1)]), "steps[0].retries"),
        (Plan("x", [PlanStep("a", ["true"], health_attempts=0)]), "steps[0].health_attempts"),
        (Plan("x", [PlanStep("a", ["true"], health_url="mailto:x")]), "steps[0].health_url"),
        (Plan("x", [PlanStep("a", ["true"])], health_url="x"), "health_url"),
    ],
)
def test_a_bad_plan_is_named_before_anything_is_run(plan: Plan, problem: str, env: WorkflowEnvironment) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(DeploymentWorkflow.run, plan)
    assert cause(caught).type == "BadPlan"
    assert problem in str(cause(caught))
    assert not PlanRun.objects.exists()


# -- provisionings -----------------------------------------------------------------------------------------------------


def provision(env: WorkflowEnvironment, *steps: PlanStep) -> Any:
    return env.run(ProvisioningWorkflow.run, Plan("host", list(steps)))


def test_what_is_there_is_skipped(env: WorkflowEnvironment, host: Host) -> None:
    (host.directory / "a").touch()
    steps = [host.step(name, check=host.check(name)) for name in "ab"]
    result = provision(env, *steps)
    assert [step["status"] for step in result["steps"]] == ["skipped", "done"]
    assert host.done == ["run b"]
    assert [step["status"] for step in provision(env, *steps)["steps"]] == ["skipped", "skipped"]


def test_what_was_there_before_is_not_undone(env: WorkflowEnvironment, host: Host) -> None:
    (host.directory / "a").touch()
    with pytest.raises(WorkflowFailureError):
        provision(
            env, *(host.step(name, check=host.check(name)) for name in "ab"), host.step("c", "false", check=["false"])
        )
    assert host.done == ["run b", "run c", "undo b"]
    assert host.files == {"a"}


def test_a_step_that_changes_nothing_fails(env: WorkflowEnvironment, host: Host) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        provision(env, host.step("a", "true", check=host.check("a")))
    assert "its check says that it is not done" in str(cause(caught))
    assert host.done == ["run a", "undo a"]


def test_a_provisioning_needs_checks() -> None:
    assert "a provisioning needs a command" in problems(Plan("x", [PlanStep("a", ["true"])]), checks_required=True)[0]
