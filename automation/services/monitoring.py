"""Workflows that do badly: found from their runs, and told by alerts that end with the problem."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from django.db.models import Count, DurationField, ExpressionWrapper, F, Q, Sum

from automation import clock
from automation.durable import payloads
from automation.errors import WeirError
from automation.models import (
    ExecutionStatus,
    ExecutionStep,
    Severity,
    StepKind,
    StepStatus,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
)
from automation.rules.problems import told
from automation.services import alerts, versions, workflow_validation

WINDOW = dt.timedelta(hours=24)
HISTORY = dt.timedelta(days=30)
MIN_RUNS = 3
"""Runs in the window below which nothing is said about a workflow."""
MIN_HISTORY = 20
"""Runs before the window below which a workflow has no habits to differ from."""
MAX_FAILURE_RATE = 0.5
MAX_AVERAGE_SECONDS = 60.0
ANOMALY_RATE = 0.25
"""How much higher than in its history a workflow's failure rate is when that is an anomaly."""
ANOMALY_SLOWNESS = 3.0
"""How many times longer than in its history a workflow's runs take when that is an anomaly …"""
ANOMALY_SECONDS = 5.0
"""… and how many seconds longer, at least."""
VALIDATED_AT_ONCE = 100
"""Workflows that are read together."""

_ENDED_BY_ITSELF = (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT)
"""A run that somebody cancelled or terminated says nothing about how well its workflow works."""

FAILURE_RATE, SLOW, SERVICE, ANOMALY, CONFIGURATION = "failure_rate", "slow", "service", "anomaly", "configuration"


@dataclass(frozen=True)
class Problem:
    """One thing to tell: an alert of this kind and key."""

    kind: str
    key: str
    message: str
    severity: Severity = Severity.WARNING
    workflow_id: uuid.UUID | None = None


@dataclass
class Runs:
    """A workflow's runs in some time. `work`: seconds that their activities ran, without waits, queues and retries."""

    total: int = 0
    failed: int = 0
    work: float = 0.0

    @property
    def failure_rate(self) -> float:
        return self.failed / self.total if self.total else 0.0

    @property
    def average(self) -> float:
        return self.work / self.total if self.total else 0.0


def monitor(now: dt.datetime | None = None) -> list[Problem]:
    """Look at the last 24 hours, open an alert for each problem and close those whose problem has ended."""
    now = now or clock.now()
    recent = runs_between(now - WINDOW, now)
    names = dict(Workflow.objects.filter(id__in=recent).values_list("id", "name"))
    problems = [problem for id_, runs in recent.items() for problem in _judge(id_, names.get(id_, str(id_)), runs)]
    known = {problem.workflow_id for problem in problems}
    history = runs_between(now - WINDOW - HISTORY, now - WINDOW)
    for id_, runs in recent.items():
        if id_ not in known and id_ in history:
            problems += _compare(id_, names.get(id_, str(id_)), runs, history[id_])
    problems += failing_services(now)
    _tell(problems, (FAILURE_RATE, SLOW, SERVICE, ANOMALY))
    return problems


def _judge(id_: uuid.UUID, name: str, runs: Runs) -> Iterable[Problem]:
    if runs.total < MIN_RUNS:
        return
    if runs.failure_rate > MAX_FAILURE_RATE:
        message = f"{runs.failed} of {runs.total} runs of {name!r} failed in the last 24 hours."
        yield Problem(FAILURE_RATE, str(id_), message, Severity.CRITICAL, id_)
    if runs.average > MAX_AVERAGE_SECONDS:
        message = f"The runs of {name!r} worked {runs.average:.0f} s on average in the last 24 hours, more than 60 s."
        yield Problem(SLOW, str(id_), message, workflow_id=id_)


def _compare(id_: uuid.UUID, name: str, runs: Runs, before: Runs) -> Iterable[Problem]:
    if runs.total < MIN_RUNS or before.total < MIN_HISTORY:
        return
    if runs.failure_rate > before.failure_rate + ANOMALY_RATE:
        message = (
            f"{runs.failure_rate:.0%} of the runs of {name!r} failed in the last 24 hours, "
            f"{before.failure_rate:.0%} in the 30 days before."
        )
        yield Problem(ANOMALY, str(id_), message, workflow_id=id_)
    elif runs.average > max(before.average * ANOMALY_SLOWNESS, before.average + ANOMALY_SECONDS):
        message = (
            f"The runs of {name!r} worked {runs.average:.1f} s on average in the last 24 hours, "
            f"{before.average:.1f} s in the 30 days before."
        )
        yield Problem(ANOMALY, str(id_), message, workflow_id=id_)


def runs_between(start: dt.datetime, end: dt.datetime) -> dict[uuid.UUID, Runs]:
    """The runs that completed or failed in [start, end), by workflow; not those of a version that was only tried."""
    ended = WorkflowExecution.objects.filter(
        workflow__isnull=False, completed_at__gte=start, completed_at__lt=end, status__in=_ENDED_BY_ITSELF
    ).exclude(version__isnull=False, version__number=None)
    failed = Count("id", filter=~Q(status=ExecutionStatus.COMPLETED))
    found = {
        row["workflow_id"]: Runs(row["total"], row["failed"])
        for row in ended.order_by().values("workflow_id").annotate(total=Count("id"), failed=failed)
    }
    took = ExpressionWrapper(F("completed_at") - F("started_at"), output_field=DurationField())
    work = (
        ExecutionStep.objects.filter(
            execution__in=ended, kind=StepKind.ACTIVITY, completed_at__isnull=False, started_at__isnull=False
        )
        .order_by()
        .values("execution__workflow_id")
        .annotate(work=Sum(took))
    )
    for row in work:
        found[row["execution__workflow_id"]].work = row["work"].total_seconds()
    return found


def failing_services(now: dt.datetime) -> list[Problem]:
    """What actions talk to (a webhook's host, the mail server, the SMS provider) and fails more often than not."""
    ended = WorkflowExecution.objects.filter(
        workflow__isnull=False, completed_at__gte=now - WINDOW, completed_at__lt=now, status__in=_ENDED_BY_ITSELF
    )
    counts: dict[str, Runs] = defaultdict(Runs)
    hosts: dict[uuid.UUID, str] = {}
    steps = (
        ExecutionStep.objects.filter(
            execution__in=ended, kind=StepKind.ACTIVITY, status__in=(StepStatus.COMPLETED, StepStatus.FAILED)
        )
        .order_by()
        .values("name", "input", "status")
        .annotate(count=Count("id"))
    )
    rows = [row for row in steps.iterator() if row["name"] in _SERVICES]
    ids = {id_ for row in rows if (id_ := _action_id(row["input"])) is not None}
    for id_, url in WorkflowAction.objects.filter(id__in=ids).exclude(webhook_url="").values_list("id", "webhook_url"):
        hosts[id_] = urlsplit(url).hostname or url
    for row in rows:
        action = _action_id(row["input"])
        host = hosts.get(action, "") if action is not None else ""
        runs = counts[f"{_SERVICES[row['name']]} {host}".strip()]
        runs.total += row["count"]
        runs.failed += row["count"] if row["status"] == StepStatus.FAILED else 0
    return [
        Problem(
            SERVICE,
            service[:255],
            f"{service}: {runs.failed} of {runs.total} calls failed in the last 24 hours.",
            Severity.CRITICAL,
        )
        for service, runs in sorted(counts.items())
        if runs.total >= MIN_RUNS and runs.failure_rate > MAX_FAILURE_RATE
    ]


_SERVICES = {
    "execute_email_action": "Email",
    "execute_sms_action": "SMS",
    "execute_webhook_action": "Webhook",
    "execute_slack_action": "Slack",
}
"""What an activity of an action talks to."""


def _action_id(arguments: str) -> uuid.UUID | None:
    """The action in an activity's arguments, `[{"action_id": "…"}]`; None for an activity that is no action."""
    try:
        return uuid.UUID(payloads.decode(arguments)[0]["action_id"])
    except (ValueError, LookupError, TypeError, AttributeError, WeirError):
        return None


def validate_all() -> list[Problem]:
    """Check the configuration of every active workflow, as `validate/` does; one alert each for its errors, closed when
    it is in order or off."""
    problems = []
    active = Workflow.objects.filter(is_active=True).order_by("pk").iterator(VALIDATED_AT_ONCE)
    while rows := list(islice(active, VALIDATED_AT_ONCE)):
        for workflow, content in zip(rows, versions.snapshots(rows), strict=True):
            found = list(_configuration_problems(workflow, content))
            if found:
                message = f"{workflow.name!r} has problems: " + " ".join(found[:5])
                if len(found) > 5:
                    message += f" And {len(found) - 5} more."
                problems.append(Problem(CONFIGURATION, str(workflow.id), message, workflow_id=workflow.id))
    _tell(problems, (CONFIGURATION,))
    return problems


def _configuration_problems(workflow: Workflow, content: Mapping[str, Any]) -> Iterable[str]:
    event_types = workflow_validation.event_types_of(workflow, content)
    if content["event_types"] and not any(event_type.is_active for event_type in event_types):
        yield "None of its event types is active: it never starts. Choose another, or none for all."
    for issue in workflow_validation.inspect(content, event_types).errors:
        place = _place(issue.path, content)
        yield " ".join(f"{place}{told(issue.message, issue.suggestion)}".split()).rstrip(".") + "."


def _place(path: str, content: Mapping[str, Any]) -> str:
    """`actions[1].message` in words: Action 'Text' at message."""
    match = re.fullmatch(r"actions\[(\d+)\]\.?(.*)", path, re.DOTALL)
    if match is None:
        return ""
    name = content["actions"][int(match[1])].get("name", "")
    return f"Action {name!r} at {match[2]}: " if match[2] else f"Action {name!r}: "


def _tell(problems: Collection[Problem], kinds: Iterable[str]) -> None:
    for problem in problems:
        alerts.open_alert(
            problem.kind,
            problem.key,
            problem.message,
            severity=problem.severity,
            workflow_id=problem.workflow_id,
        )
    for kind in kinds:
        alerts.close_all_but(kind, {problem.key for problem in problems if problem.kind == kind})
