"""What workflow code can know about its execution; the fields are named as in the Temporal Python SDK."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automation.durable import attributes, current, run_options
from automation.durable.attributes import SearchAttributes, TypedSearchAttributes
from automation.durable.common import Priority, RetryPolicy
from automation.durable.replay import Run
from automation.durable.run_options import RunOptions
from automation.models import WorkflowExecution

CONTINUE_AS_NEW_AT = 4_096
"""How long a history is (things asked for and outcomes) when it is better continued as a new one: a replay of it takes
a noticeable part of a second."""


@dataclass(frozen=True)
class ParentInfo:
    """The execution that started this one as its child."""

    namespace: str
    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class RootInfo:
    """The execution at the top of a tree of children."""

    run_id: str
    workflow_id: str


class Info:
    """A workflow's own execution. `workflow_id` is the caller's id (or the run's), `run_id` this run's."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._execution = run.execution

    def __repr__(self) -> str:
        return f"Info(workflow_type={self.workflow_type!r}, workflow_id={self.workflow_id!r}, run_id={self.run_id!r})"

    # -- which ---------------------------------------------------------------------------------------------------------

    @property
    def workflow_id(self) -> str:
        return self._execution.business_id or str(self._execution.id)

    @property
    def run_id(self) -> str:
        return str(self._execution.id)

    @property
    def execution_id(self) -> uuid.UUID:
        """Ours: the row's id, which is the run's."""
        return self._execution.id

    @property
    def workflow_type(self) -> str:
        return self._execution.definition

    @property
    def namespace(self) -> str:
        return self._execution.namespace

    @property
    def task_queue(self) -> str:
        return self._execution.queue

    @property
    def priority(self) -> Priority:
        level = self._execution.priority
        return Priority(priority_key=max(1, 4 - level)) if level else Priority()

    # -- its chain of runs, and its family -----------------------------------------------------------------------------

    @property
    def first_execution_run_id(self) -> str:
        """The run that a chain of continue-as-new, retry or cron began with."""
        return str(self._execution.first_run_id or self._execution.id)

    @property
    def original_execution_run_id(self) -> str:
        return self.run_id

    @property
    def continued_run_id(self) -> str | None:
        """The run before this one, if it goes on with another's."""
        previous = self._execution.previous_run_id
        return str(previous) if previous is not None else None

    @property
    def attempt(self) -> int:
        """From 1; counts the runs that a workflow's retry policy made."""
        return self._options.attempt

    @property
    def parent(self) -> ParentInfo | None:
        parent = _family(self._execution.parent_id)[:1]
        return ParentInfo(self.namespace, str(parent[0].id), parent[0].workflow_id_of_caller) if parent else None

    @property
    def root(self) -> RootInfo | None:
        family = _family(self._execution.parent_id)
        return RootInfo(str(family[-1].id), family[-1].workflow_id_of_caller) if family else None

    # -- its times -----------------------------------------------------------------------------------------------------

    @property
    def start_time(self) -> dt.datetime:
        """When it was asked for."""
        return self._execution.created_at

    @property
    def workflow_start_time(self) -> dt.datetime:
        """When its code began."""
        return self._execution.started_at

    @property
    def execution_timeout(self) -> dt.timedelta | None:
        return _time(self._options.execution_timeout)

    @property
    def run_timeout(self) -> dt.timedelta | None:
        return _time(self._options.run_timeout)

    @property
    def task_timeout(self) -> dt.timedelta:
        return _time(self._options.task_timeout) or dt.timedelta(seconds=10)

    @property
    def retry_policy(self) -> RetryPolicy | None:
        return self._options.retry

    @property
    def cron_schedule(self) -> str | None:
        return self._options.cron or None

    # -- its notes -----------------------------------------------------------------------------------------------------

    @property
    def headers(self) -> Mapping[str, Any]:
        return {}

    @property
    def raw_memo(self) -> Mapping[str, Any]:
        return dict(self._run.notes.memo)

    @property
    def search_attributes(self) -> SearchAttributes:
        return attributes.untyped(self._run.notes.attributes)

    @property
    def typed_search_attributes(self) -> TypedSearchAttributes:
        return TypedSearchAttributes.of_row(self._run.notes.attributes)

    # -- its history ---------------------------------------------------------------------------------------------------

    def get_current_history_length(self) -> int:
        """What the code has asked for and what it has been told up to here."""
        return self._run.next_seq + self._run.fed

    def is_continue_as_new_suggested(self) -> bool:
        return self.get_current_history_length() >= CONTINUE_AS_NEW_AT

    def get_current_build_id(self) -> str:
        """Weir's workers are not versioned: always empty."""
        return ""

    @property
    def _options(self) -> RunOptions:
        return run_options.parse(self._execution.options)


def _family(parent: uuid.UUID | None) -> list[WorkflowExecution]:
    """The parent, its parent, and so on."""
    found: list[WorkflowExecution] = []
    with current.outside():
        while parent is not None:
            row = WorkflowExecution.objects.filter(id=parent).only("id", "business_id", "parent_id").first()
            if row is None:
                break
            found.append(row)
            parent = row.parent_id
    return found


def info() -> Info:
    """What there is to know about the execution whose code is running."""
    return Info(current.run())


def _time(seconds: float | None) -> dt.timedelta | None:
    return dt.timedelta(seconds=seconds) if seconds is not None else None
