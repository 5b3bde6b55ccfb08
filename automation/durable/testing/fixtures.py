"""pytest fixtures for a project's tests.

In its conftest.py: `pytest_plugins = ["automation.durable.testing.fixtures"]`, or import the fixtures by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from automation.durable.testing import ActivityEnvironment, WorkflowEnvironment

__all__ = ["activity_environment", "workflow_environment"]


@pytest.fixture
def workflow_environment(db: Any) -> Iterator[WorkflowEnvironment]:
    """Workflows on the test's database, with time that is skipped; works within the test's own transaction."""
    with WorkflowEnvironment.start_time_skipping() as environment:
        yield environment


@pytest.fixture
def activity_environment() -> ActivityEnvironment:
    """Runs an activity as a worker would, without a workflow."""
    return ActivityEnvironment()
