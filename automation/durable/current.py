"""The run whose code is running right now."""

from __future__ import annotations

import asyncio

from automation.durable.loop import DurableLoop
from automation.durable.replay import Run


def run() -> Run:
    loop = asyncio._get_running_loop()
    if not isinstance(loop, DurableLoop):
        raise RuntimeError("not in a workflow: call this from workflow code")
    return loop.run_of


def in_workflow() -> bool:
    """Whether the calling code is workflow code."""
    return isinstance(asyncio._get_running_loop(), DurableLoop)
