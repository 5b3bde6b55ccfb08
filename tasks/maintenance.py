"""What beat starts. Each is safe to run twice, or twice at once."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections

from automation.durable import sweeping
from automation.services import alerts, maintenance, monitoring, notifications

MINUTES = 60


@shared_task(name="sweep", time_limit=2 * MINUTES)
def sweep() -> str:
    """Find rows whose message was lost, whose worker died, or which have come due, and put them on their way."""
    _fresh()
    return "swept" if sweeping.sweep_alone() else "somebody else did"


@shared_task(name="cleanup_old_workflow_executions", time_limit=6 * 60 * MINUTES)
def cleanup_old_workflow_executions() -> str:
    """Delete executions that ended more than 90 days ago, and messages of NOTIFICATION_KEEP_DAYS ago."""
    _fresh()
    return f"{maintenance.delete_old_executions()} executions and {notifications.purge()} messages deleted"


@shared_task(name="monitor_workflow_performance", time_limit=30 * MINUTES)
def monitor_workflow_performance() -> str:
    """Open alerts for workflows that fail often, are slow or unlike themselves, and for services that fail."""
    _fresh()
    return f"{len(monitoring.monitor())} problems"


@shared_task(name="validate_all_workflow_configurations", time_limit=30 * MINUTES)
def validate_all_workflow_configurations() -> str:
    """Open alerts for active workflows whose configuration has problems."""
    _fresh()
    return f"{len(monitoring.validate_all())} workflows with problems"


@shared_task(name=alerts.MAIL_TASK, time_limit=10 * MINUTES)
def send_alert_mails() -> str:
    """Mail the alerts that were opened since."""
    _fresh()
    return f"{alerts.mail_open_alerts()} mails sent"


@shared_task(name="clean_heartbeats", time_limit=10 * MINUTES)
def clean_heartbeats() -> str:
    """Delete the rows of worker nodes that ended long ago."""
    _fresh()
    return f"{maintenance.forget_nodes()} nodes forgotten"


def _fresh() -> None:
    # Connections outlive tasks (CELERY_DB_REUSE_MAX): one that the database dropped meanwhile is replaced here.
    close_old_connections()
