"""Looking for workflows that do badly, and telling people."""

from __future__ import annotations

from automation.services.schedules import Schedule

SCHEDULES = [
    Schedule(
        name="monitor workflows",
        task="monitor_workflow_performance",
        crontab="7 * * * *",
        expires=3600,
        description="Opens an alert for each workflow that fails often, is slow, or differs from its own history.",
    ),
    Schedule(
        name="validate workflows",
        task="validate_all_workflow_configurations",
        crontab="45 4 * * *",
        expires=12 * 3600,
        description="Opens an alert for each active workflow whose configuration has problems.",
    ),
    Schedule(
        name="send alert mails",
        task="send_alert_mails",
        every=60.0,
        expires=60,
        description="Mails the alerts that were opened since, and those whose mail failed.",
    ),
]
