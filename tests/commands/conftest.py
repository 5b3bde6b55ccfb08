"""Commands as an operator runs them, in this process."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from django.core.management import call_command

from tests.commands import definitions  # noqa: F401 (registers them)
from tests.support.carrier import Carrier, carrying

Run = Callable[..., str]


@pytest.fixture
def run() -> Run:
    """`run("command", "--option", …)`: what it printed."""

    def command(*words: str) -> str:
        out = io.StringIO()
        call_command(*words, stdout=out, stderr=out)
        return out.getvalue()

    return command


@pytest.fixture
def carrier(transactional_db: None) -> Iterator[Carrier]:
    """A broker and workers in this process; what a command starts is published when it commits."""
    with carrying() as one:
        yield one
