"""Running the commands of plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from automation import clock, outbound
from automation.domains.ops import alerts
from automation.domains.ops.models import PlanCommand, PlanRun, PlanStatus
from automation.durable import activity
from automation.durable.exceptions import ApplicationError, CancelledError
from automation.errors import WeirError
from automation.providers.runner import Command, RunnerFailed, RunnerRefused, get_runner

ALERT = "plan"
SHOWN = 500
"""Characters of an output that go into the history; the command's row has more."""

Info = dict[str, Any]


@dataclass(frozen=True)
class PlannedCommand:
    """One command of a plan. `phase`: check, run, health or undo."""

    run_id: int
    step: str
    phase: str
    argv: list[str]
    timeout_seconds: float
    target: str = ""
    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)


@activity.defn(name="begin_plan")
def begin_plan(kind: str, name: str, runner: str) -> Info:
    """Note that a plan begins: `run_id`. Raises RunnerRefused, not to be retried, where its runner may not be used."""
    try:
        get_runner(runner)
    except RunnerRefused as error:
        raise _error(error) from error
    row, _ = PlanRun.objects.get_or_create(
        key=activity.info().idempotency_key, defaults={"kind": kind, "name": name, "runner": runner}
    )
    return {"run_id": row.pk}


@activity.defn(name="run_plan_command", no_thread_cancel_exception=True)  # it ends its command, and notes that
def run_plan_command(command: PlannedCommand) -> Info:
    """Run one command to its end: `ok`, `exit_code` (None where its time was up), `summary`, `output` (its end).

    A command that fails is an answer. Raises RunnerFailed (no connection; to be retried) and RunnerRefused. The command
    finds WEIR_IDEMPOTENCY_KEY in its environment: it is run again when a worker is lost while it runs.
    """
    run = PlanRun.objects.get(pk=command.run_id)
    info = activity.info()
    try:
        ran = get_runner(run.runner).run(
            Command(
                argv=command.argv,
                timeout=command.timeout_seconds,
                env={**command.env, "WEIR_IDEMPOTENCY_KEY": info.idempotency_key},
                cwd=command.cwd,
                target=command.target,
            ),
            _beat,
        )
    except (RunnerFailed, RunnerRefused) as error:
        raise _error(error) from error
    PlanCommand.objects.create(
        run=run,
        step=command.step,
        phase=command.phase,
        target=command.target,
        argv=command.argv,
        attempt=info.attempt,
        exit_code=ran.exit_code,
        stdout=ran.stdout,
        stderr=ran.stderr,
        seconds=ran.seconds,
    )
    if ran.exit_code is None and activity.is_cancelled():
        raise CancelledError(f"{command.phase} of {command.step!r} was stopped")
    return {
        "ok": ran.ok,
        "exit_code": ran.exit_code,
        "summary": "" if ran.ok else ran.summary,
        "output": ran.stdout[-SHOWN:],
    }


@activity.defn(name="probe_health")
def probe_health(url: str, timeout: float) -> Info:
    """Whether a URL answers below 400: `ok`, `summary`."""
    try:
        answer = outbound.request("GET", url, timeout=timeout, max_body=1)
    except outbound.OutboundRefused as error:
        raise _error(error) from error
    except outbound.OutboundFailed as error:
        return {"ok": False, "summary": error.message}
    return {"ok": answer.status < 400, "summary": "" if answer.status < 400 else f"{url} answered {answer.status}"}


@activity.defn(name="end_plan")
def end_plan(run_id: int, status: str, problem: str = "") -> Info:
    """Note how a plan ended. One that could not be undone as a whole opens an alert."""
    PlanRun.objects.filter(pk=run_id).update(status=PlanStatus(status), problem=problem, ended_at=clock.now())
    run = PlanRun.objects.get(pk=run_id)
    if status == PlanStatus.STUCK:
        alerts.open_alert(ALERT, f"{run.kind} {run.name}", f"The {run.kind} {run.name!r} is half done: {problem}")
    if status == PlanStatus.SUCCEEDED:
        alerts.close_alert(ALERT, f"{run.kind} {run.name}")
    return {"run_id": run_id, "status": status}


def _beat() -> bool:
    activity.heartbeat()
    return activity.is_cancelled()


def _error(error: WeirError) -> ApplicationError:
    return ApplicationError(error.message, type=type(error).__name__, non_retryable=not isinstance(error, RunnerFailed))
