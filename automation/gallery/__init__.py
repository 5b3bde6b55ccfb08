"""Workflow templates that come with Weir: a file each, in the form in which workflows are exported.

Adding one is adding a file; its name is the template's key.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from automation.models import TemplateCategory


@dataclass(frozen=True)
class Shipped:
    """One file. `document`: the workflow, as exported, of a name that organizers can keep."""

    key: str
    category: TemplateCategory
    description: str
    document: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"])


def shipped() -> list[Shipped]:
    """Every file, by key. Raises ValueError for one that is not as it should be, naming it."""
    found = []
    for file in sorted(resources.files(f"{__name__}.templates").iterdir(), key=lambda one: one.name):
        if not file.name.endswith(".yaml"):
            continue
        try:
            data = yaml.safe_load(file.read_text("utf-8"))
            found.append(
                Shipped(
                    file.name.removesuffix(".yaml"),
                    TemplateCategory(data.pop("category")),
                    str(data.pop("description")).strip(),
                    data.pop("workflow"),
                )
            )
            if data:
                raise ValueError(f"unknown key {next(iter(data))!r}")
        except (KeyError, ValueError, AttributeError, yaml.YAMLError) as error:
            raise ValueError(f"gallery template {file.name}: {error}") from error
    return found
