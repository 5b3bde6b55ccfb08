"""Sessions: from the confirmation over reminders, attendance and no-shows to the survey."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    # When it is first asked for: Django imports this package before its models can be.
    if name in ("WORKFLOWS", "ACTIVITIES"):
        return getattr(importlib.import_module(f"{__name__}.{name.lower()}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
