"""Values as a trace keeps them: JSON-able, storable, and short, whatever an invitee typed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from automation.rules.values import preview, storable, text

MAX_TEXT = 500
"""Characters kept of a text."""
MAX_ITEMS = 50
"""Items kept of a list or an object."""
MAX_DEPTH = 4


def traced(value: Any, depth: int = 0) -> Any:
    """`value` for a JSON column: datetimes in ISO 8601, long text and lists cut with an ellipsis."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return storable(value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…")
    if isinstance(value, int):
        # Above 64 bits JSON readers disagree about digits.
        return value if value.bit_length() <= 64 else preview(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        if depth >= MAX_DEPTH:
            return "…"
        kept = {storable(str(key))[:MAX_TEXT]: traced(member, depth + 1) for key, member in _first(value.items())}
        return kept if len(value) <= MAX_ITEMS else {**kept, "…": f"{len(value) - MAX_ITEMS} more"}
    if isinstance(value, (list, tuple)):
        if depth >= MAX_DEPTH:
            return "…"
        members = [traced(member, depth + 1) for member in value[:MAX_ITEMS]]
        return members if len(value) <= MAX_ITEMS else [*members, f"… {len(value) - MAX_ITEMS} more"]
    return storable(text(value))[:MAX_TEXT]


def _first(pairs: Any) -> Any:
    return (pair for index, pair in enumerate(pairs) if index < MAX_ITEMS)
