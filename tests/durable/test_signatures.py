"""Every name and parameter of the Temporal Python SDK's public API is there, or stands in the table of deviations.

`sdk_signatures.json` holds the SDK's names and parameters (version 1.35.0). The table is read from the docs, so
that it can claim neither too much nor too little.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SDK: dict[str, Any] = json.loads((Path(__file__).parent / "sdk_signatures.json").read_text())
DOCS = Path(__file__).parents[2] / "docs" / "workflows.md"
MODULES = [name for name in SDK if name != "about"]

ASKED = ("workflow.Info", "activity.Info")
HANDED_OUT = (
    *("workflow.ActivityHandle", "workflow.ChildWorkflowHandle", "workflow.ExternalWorkflowHandle"),
    *("workflow.ContinueAsNewError", "workflow.NondeterminismError", "workflow.ReadOnlyContextError"),
    *("workflow.EventGroup", "common.SearchAttributeKey", "common.SearchAttributeUpdate"),
)
"""What users get and do not make, so that its constructor is no part of the contract."""


def table() -> dict[str, str]:
    """The deviations of the docs: name → reason."""
    section = re.search(r"^## Deviations\n(.*?)(?=^## |\Z)", DOCS.read_text(), re.M | re.S)
    assert section is not None, f"{DOCS} has no section 'Deviations'"
    found: dict[str, str] = {}
    for line in section.group(1).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 2:
            for name in re.findall(r"`([^`]+)`", cells[0]):
                assert name not in found, f"{name} stands in the table twice"
                found[name] = cells[1]
    return found


def deviations() -> Iterator[str]:
    for module in MODULES:
        for name, theirs in SDK[module].items():
            yield from _deviations(f"{module}.{name}", theirs)


def _deviations(path: str, theirs: Any) -> Iterator[str]:
    try:
        ours = find(path)
    except (ImportError, AttributeError):
        yield path
        return
    if isinstance(theirs, dict) and "enum" in theirs:
        assert issubclass(ours, enum.Enum), f"{path} is no enum"
        yield from (f"{path}.{member}" for member in theirs["enum"] if member not in ours.__members__)
        return
    if isinstance(theirs, dict) and path in ASKED:
        # Nobody but Weir makes one: what counts is what it can be asked.
        yield from (f"{path}.{name}" for name, _, _ in theirs["class"] if not hasattr(ours, name))
        return
    if isinstance(theirs, dict):
        names = {base.__name__ for base in inspect.getmro(ours)} if inspect.isclass(ours) else set()
        if not set(theirs["bases"]) <= names | {"_AsyncioTask"}:
            yield f"{path}: bases"
        if path in HANDED_OUT:
            return
        theirs = theirs["class"] or []
    yield from (f"{path}({name})" for name in _unlike(ours, theirs))


def find(path: str) -> Any:
    module, *names = path.split(".")
    found: Any = importlib.import_module(f"automation.durable.{module}")
    for name in names:
        # On the class itself: a descriptor says more about its function than what it hands out.
        found = getattr(found, name)
    return found


def _unlike(ours: Any, theirs: list[list[Any]]) -> Iterator[str]:
    """Parameters that a call of theirs cannot give to ours, and those that ours wants besides."""
    parameters = _parameters(ours)
    kinds = {parameter.kind for parameter in parameters.values()}
    takes_all = inspect.Parameter.VAR_KEYWORD in kinds
    positions = [name for name, parameter in parameters.items() if parameter.kind in POSITIONAL]
    position = 0
    for name, kind, has_default in theirs:
        own = parameters.get(name)
        if kind == "*":
            if inspect.Parameter.VAR_POSITIONAL not in kinds:
                yield f"*{name}"
        elif kind == "**":
            if not takes_all:
                yield f"**{name}"
        elif own is None:
            if not (takes_all and (kind == "keyword" or has_default)):
                yield name
        elif (has_default and own.default is own.empty and own.kind != own.VAR_POSITIONAL) or (
            kind == "any" and own.kind in POSITIONAL and position < len(positions) and positions[position] != name
        ):
            yield name
        position += kind == "any"
    known = {name for name, _, _ in theirs}
    for name, parameter in parameters.items():
        variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name not in known and parameter.default is parameter.empty and not variable:
            yield f"wants {name}"


POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _parameters(ours: Any) -> dict[str, inspect.Parameter]:
    ours = getattr(ours, "_core", ours)
    try:
        parameters = dict(inspect.signature(ours).parameters)
    except (TypeError, ValueError):
        return {}
    parameters.pop("self", None)
    return parameters


def test_what_is_missing_or_different_is_what_the_docs_say() -> None:
    found, told = set(deviations()), table()
    assert sorted(found - set(told)) == [], "missing, and not in the table of deviations"
    assert sorted(set(told) - found) == [], "in the table of deviations, and there"
    assert all(told.values()), "each has its reason"


@pytest.mark.parametrize("module", MODULES)
def test_the_modules_have_the_sdks_names(module: str) -> None:
    importlib.import_module(f"automation.durable.{module}")


def test_the_check_itself_finds_what_differs() -> None:
    def ours(a: int, *, c: int, d: int = 0) -> None: ...

    theirs = [["a", "any", False], ["b", "any", True], ["c", "keyword", True], ["d", "keyword", True]]
    assert list(_unlike(ours, theirs)) == ["b", "c"]
    assert list(_unlike(ours, [["a", "any", False], ["args", "*", False]])) == ["*args", "wants c"]
    assert list(_deviations("workflow.ParentClosePolicy", {"enum": ["TERMINATE", "NEVER"]})) == [
        "workflow.ParentClosePolicy.NEVER"
    ]
