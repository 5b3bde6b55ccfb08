"""What the tests of operations share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from automation.durable.exceptions import ApplicationError, WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment


@pytest.fixture
def env(db: None) -> Iterator[WorkflowEnvironment]:
    with WorkflowEnvironment.start_time_skipping() as environment:
        yield environment


def cause(caught: pytest.ExceptionInfo[WorkflowFailureError]) -> ApplicationError:
    """What an execution failed of."""
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    assert error is not None, repr(caught.value)
    return error
