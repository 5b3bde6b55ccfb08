"""One small Django app for each domain."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def exports(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a domain's package, which exports WORKFLOWS and ACTIVITIES. They are imported when they are
    first asked for: Django imports the package before its models can be."""

    def get(name: str) -> Any:
        if name in ("WORKFLOWS", "ACTIVITIES"):
            return getattr(importlib.import_module(f"{package}.{name.lower()}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
