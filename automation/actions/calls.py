"""The argument of every action's activity. No models here: workflow code imports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ActionCall:
    """Names an action of the snapshot that the execution runs; all else the activity reads when it runs."""

    action_id: str
