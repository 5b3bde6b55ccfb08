"""Notes on an execution: its memo and its search attributes, which the starter sets and the code may change.

The columns hold what is true now. Replay begins with what the starter gave; so the first change keeps that as well,
under START in the memo's text, which readers leave out.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from automation.durable import attributes as typed
from automation.durable import current, payloads
from automation.durable.attributes import SearchAttributeUpdate
from automation.durable.records import ExecutionRecord
from automation.models import WorkflowExecution

if TYPE_CHECKING:
    from automation.durable.replay import Run

START = "__start__"


def decode(text: str) -> dict[str, Any]:
    """The memo that stands in a row."""
    memo: dict[str, Any] = payloads.decode(text) or {}
    memo.pop(START, None)
    return memo


class Notes:
    """The memo and the search attributes of a run, as its code knows them at this point."""

    def __init__(self, execution: ExecutionRecord) -> None:
        memo: dict[str, Any] = payloads.decode(execution.memo) or {}
        start = memo.pop(START, None)
        if start is None:
            start = {"memo": memo, "search_attributes": execution.search_attributes or {}}
        self._start: dict[str, Any] = start
        self.memo: dict[str, Any] = dict(start["memo"])
        self.attributes: dict[str, Any] = dict(start["search_attributes"])

    def upsert(self, run: Run, into: dict[str, Any], changes: Mapping[str, Any]) -> None:
        run.check_writable("change its memo or search attributes")
        for name, value in changes.items():
            if value is None:
                into.pop(name, None)
            else:
                into[name] = value
        if not run.replaying:
            text = payloads.encode({**self.memo, START: self._start}, "memo")
            run.effects.append(partial(_write, run.execution_id, text, dict(self.attributes)))


def _write(execution: uuid.UUID, memo: str, search_attributes: dict[str, Any], _now: dt.datetime) -> None:
    WorkflowExecution.objects.filter(id=execution).update(memo=memo, search_attributes=search_attributes or None)


# -- what workflow code calls ------------------------------------------------------------------------------------------


def memo() -> Mapping[str, Any]:
    """The execution's memo: name → value, in JSON's types."""
    return dict(current.run().notes.memo)


class _Missing:
    pass


def memo_value(key: str, default: Any = _Missing, *, type_hint: Any = None) -> Any:
    """One value of the memo, as `type_hint` says. Raises KeyError where there is none and no default."""
    values = current.run().notes.memo
    if key not in values:
        if default is _Missing:
            raise KeyError(f"memo does not have a value for key {key!r}")
        return default
    convert = payloads.converter(type_hint) if type_hint is not None else None
    return values[key] if convert is None else convert(values[key])


def upsert_memo(updates: Mapping[str, Any], *, event_groups: Any = None) -> None:
    """Change the memo; None removes a key."""
    run = current.run()
    plain = {name: payloads.decode(payloads.encode(value, f"memo {name!r}")) for name, value in updates.items()}
    run.notes.upsert(run, run.notes.memo, plain)


def upsert_search_attributes(
    attributes: Sequence[SearchAttributeUpdate[Any]] | Mapping[str, Sequence[Any]], *, event_groups: Any = None
) -> None:
    """Change search attributes: updates made by a key's `value_set` and `value_unset`, or the untyped name → values, of
    which none removes the attribute."""
    run = current.run()
    if isinstance(attributes, Mapping):
        changes = {name: typed.untyped_value(name, values) for name, values in attributes.items()}
    else:
        changes = {one.key.name: typed.plain(one.key.name, one.value) for one in attributes}
    run.notes.upsert(run, run.notes.attributes, changes)
