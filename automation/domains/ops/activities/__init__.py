"""What the workflows of operations do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from automation.domains.ops.activities.backup import (
    checksum_backup,
    dump_database,
    fail_backup,
    prune_backups,
    store_backup,
    verify_backup,
)
from automation.domains.ops.activities.monitoring import close_probe_alert, open_probe_alert, probe_url
from automation.domains.ops.activities.plans import begin_plan, end_plan, probe_health, run_plan_command

ACTIVITIES: list[Callable[..., Any]] = [
    dump_database,
    checksum_backup,
    store_backup,
    verify_backup,
    prune_backups,
    fail_backup,
    probe_url,
    open_probe_alert,
    close_probe_alert,
    begin_plan,
    run_plan_command,
    probe_health,
    end_plan,
]

__all__ = [
    "ACTIVITIES",
    "begin_plan",
    "checksum_backup",
    "close_probe_alert",
    "dump_database",
    "end_plan",
    "fail_backup",
    "open_probe_alert",
    "probe_health",
    "probe_url",
    "prune_backups",
    "run_plan_command",
    "store_backup",
    "verify_backup",
]
