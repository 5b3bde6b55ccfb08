"""The workflows of operations."""

from __future__ import annotations

from automation.domains.ops.workflows.backup import BackupWorkflow
from automation.domains.ops.workflows.monitoring import MonitoringInput, MonitoringWorkflow
from automation.domains.ops.workflows.plans import DeploymentWorkflow, ProvisioningWorkflow

WORKFLOWS: list[type] = [BackupWorkflow, MonitoringWorkflow, DeploymentWorkflow, ProvisioningWorkflow]

__all__ = [
    "WORKFLOWS",
    "BackupWorkflow",
    "DeploymentWorkflow",
    "MonitoringInput",
    "MonitoringWorkflow",
    "ProvisioningWorkflow",
]
