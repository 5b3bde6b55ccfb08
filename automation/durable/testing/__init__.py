"""Testing workflows and activities; named as in the Temporal Python SDK, with a synchronous use besides."""

from __future__ import annotations

from automation.durable.testing.activities import ActivityEnvironment
from automation.durable.testing.courier import Stuck
from automation.durable.testing.environment import WorkflowEnvironment
from automation.durable.testing.handles import EnvironmentHandle

__all__ = ["ActivityEnvironment", "EnvironmentHandle", "Stuck", "WorkflowEnvironment"]
