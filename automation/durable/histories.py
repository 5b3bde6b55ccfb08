"""Histories as documents: an execution and its steps in JSON, to be kept, looked at and replayed elsewhere."""

from __future__ import annotations

import datetime as dt
import json
import typing
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Q, QuerySet

from automation.durable import payloads, records
from automation.durable.records import ExecutionRecord, StepRecord
from automation.models import ExecutionStep, StepKind, StepStatus, WorkflowExecution

Record = TypeVar("Record", ExecutionRecord, StepRecord)

_TEXTS = frozenset({"input", "output", "failure", "heartbeat", "memo"})
_IDS = frozenset({"id", "execution_id", "parent_id", "first_run_id", "previous_run_id"})
_TIMES = frozenset({"created_at", "started_at", "completed_at", "run_at", "due", "deadline"})


IN_HISTORY = Q(resolved_seq=None) | ~Q(kind=StepKind.UPDATE, resolved_seq=0)
"""Leaves out the rows of refused updates whose refusal nobody has fetched yet: they are no part of the history."""


@dataclass(frozen=True)
class WorkflowHistory:
    """events: the execution first, then its steps in the order of `seq`, as plain dictionaries."""

    workflow_id: str
    events: Sequence[Mapping[str, Any]]

    @property
    def run_id(self) -> str:
        return str(self.events[0]["id"])

    def to_json(self) -> str:
        """As text, for a file."""
        return json.dumps(self.to_json_dict(), indent=1)

    def to_json_dict(self) -> dict[str, Any]:
        return {"workflow_id": self.workflow_id, "events": [dict(event) for event in self.events]}

    @classmethod
    def from_json(cls, workflow_id: str, history: str | Mapping[str, Any]) -> WorkflowHistory:
        """What `to_json` wrote."""
        data = json.loads(history) if isinstance(history, str) else history
        return cls(workflow_id, list(data["events"]))

    def records(self) -> tuple[ExecutionRecord, list[StepRecord]]:
        """The rows again, as the engine replays them."""
        execution, *steps = self.events
        return _record(ExecutionRecord, execution), [_record(StepRecord, step) for step in steps]


def steps_of(execution: uuid.UUID) -> QuerySet[ExecutionStep]:
    """The steps of an execution's history, by seq."""
    return ExecutionStep.objects.filter(IN_HISTORY, execution_id=execution).order_by("seq")


def export(row: WorkflowExecution) -> WorkflowHistory:
    """The history of an execution."""
    own = {name: getattr(row, name) for name in ExecutionRecord._fields if name != "steps"}
    own["started_at"] = row.started_at or row.created_at
    steps = steps_of(row.id).values_list(*StepRecord._fields)
    events = [
        {**_event(own), "steps": 1},
        *(_event(dict(zip(StepRecord._fields, step, strict=True))) for step in steps),
    ]
    return WorkflowHistory(row.workflow_id_of_caller, events)


def _event(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if _is_word(name, values) else _plain(name, value) for name, value in values.items()}


def _is_word(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a column of texts holds a word of the engine's: a failed step keeps in its output why it was given up."""
    return name == "output" and values.get("status") != StepStatus.COMPLETED


def _plain(name: str, value: Any) -> Any:
    if name in _TEXTS:
        return payloads.decode(value) if value else None
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return value


def _record(cls: type[Record], event: Mapping[str, Any]) -> Record:
    """A recording may be older than a column, or than its removal."""
    values = dict(_read(event))
    hints = typing.get_type_hints(cls, vars(records))
    empty = {str: "", int: 0}
    return cls(**{name: values.get(name, empty.get(hints[name])) for name in cls._fields})


def _read(event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in event.items():
        if _is_word(name, event):
            yield name, value or ""
        elif name in _TEXTS:
            # A result of None is written as "null"; empty is what was never written.
            yield name, "" if value is None and name != "output" else payloads.encode(value)
        elif name in _IDS and value is not None:
            yield name, uuid.UUID(value)
        elif name in _TIMES and value is not None:
            yield name, dt.datetime.fromisoformat(value)
        else:
            yield name, value
