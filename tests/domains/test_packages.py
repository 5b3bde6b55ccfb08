"""Which domains there are, and what each of them exports."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from automation.durable import registry
from automation.services import catalogue, queues

ROOT = Path(__file__).resolve().parents[2]

WORKFLOWS = {
    "booking": {
        *("BookingWorkflow", "BookingCreatedWorkflow", "BookingReminderWorkflow", "BookingLifecycleWorkflow"),
        *("NoShowWorkflow", "ReschedulingWorkflow", "BatchReminderWorkflow"),
    },
    "payment": {
        *("PaymentProcessingWorkflow", "RefundWorkflow", "PayoutWorkflow", "BatchPractitionerPayoutWorkflow"),
        *("ProgressivePackagePayoutWorkflow", "SubscriptionRenewalWorkflow", "CommissionCalculationWorkflow"),
    },
    "practitioner": {
        *("PractitionerOnboardingWorkflow", "VerificationWorkflow", "TrainingWorkflow"),
        "PractitionerSubscriptionWorkflow",
    },
    "stream": {"StreamSetupWorkflow", "StreamRecordingWorkflow", "StreamCleanupWorkflow"},
    "room": {"RoomCreationWorkflow", "RoomMaintenanceWorkflow", "RoomCleanupWorkflow"},
    "user": {"user_onboarding", "BatchProcessingWorkflow"},
    "ops": {"BackupWorkflow", "MonitoringWorkflow", "DeploymentWorkflow", "ProvisioningWorkflow"},
    "shared": set(),
}


def names(of: Callable[[Any], Any], exported: Iterable[Any]) -> set[str]:
    return {of(one).name for one in exported}


@pytest.mark.parametrize("domain", queues.DOMAINS)
def test_a_package_exports_what_is_registered_of_its_domain(domain: str) -> None:
    package = importlib.import_module(f"automation.domains.{domain}")
    entries = catalogue.entries(domain)
    workflows = {getattr(one, registry.WORKFLOW_ATTRIBUTE).name for one in package.WORKFLOWS}
    activities = {getattr(one, registry.ACTIVITY_ATTRIBUTE).name for one in package.ACTIVITIES}
    assert workflows == WORKFLOWS[domain] == {entry.name for entry in entries if entry.kind == "workflow"}
    assert activities == {entry.name for entry in entries if entry.kind == "activity"}
    with pytest.raises(AttributeError, match=f"module 'automation.domains.{domain}' has no attribute 'WORKFLOW'"):
        _ = package.WORKFLOW


def test_the_domains_are_those_of_the_page_and_accept_plurals() -> None:
    assert list(WORKFLOWS) == list(queues.DOMAINS)
    assert [queues.domain(name) for name in ("bookings", "payments", "practitioners", "Rooms ")] == [
        *("booking", "payment", "practitioner", "room")
    ]


START = {
    "a command": ["-m", "django", "sync_schedules"],
    "web": ["-c", "import project.wsgi"],
    "async web": ["-c", "import project.asgi"],
    "a worker": ["-m", "celery", "-A", "project", "worker", "--pool", "solo"],
}


@pytest.mark.parametrize(("how", "kind"), [*((how, "workflow") for how in START), ("web", "activity")])
def test_a_name_that_is_registered_twice_stops_the_start_and_both_places_are_named(
    how: str, kind: str, tmp_path: Path
) -> None:
    """Another app of the installation takes a name of ours."""
    app = tmp_path / "another"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "workflows.py").write_text(
        "from automation.durable import workflow\n\n\n"
        f"@workflow.defn(name={'BookingWorkflow' if kind == 'workflow' else 'Another'!r})\n"
        "class Another:\n    @workflow.run\n    async def run(self) -> None: ...\n"
    )
    (app / "activities.py").write_text(
        "from automation.durable import activity\n\n\n"
        f"@activity.defn(name={'send_email' if kind == 'activity' else 'another'!r})\n"
        "def another() -> None: ...\n"
    )
    (tmp_path / "our_settings.py").write_text("from project.settings import *\n\nINSTALLED_APPS += ['another']\n")
    done = subprocess.run(
        [sys.executable, *START[how]],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
            "DJANGO_SETTINGS_MODULE": "our_settings",
            "WEIR_VAR_DIR": str(tmp_path / "var"),
            "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    ours, theirs = {
        "workflow": ("automation.domains.booking.workflows.sessions.BookingWorkflow", "another.workflows.Another"),
        "activity": ("automation.domains.shared.activities.send_email", "another.activities.another"),
    }[kind]
    assert ours in done.stderr, done.stderr
    assert theirs in done.stderr, done.stderr
