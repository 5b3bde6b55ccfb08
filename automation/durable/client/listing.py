"""Lists of executions, a page at a time, for `for` and `async for` alike."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import Count, QuerySet

from automation.durable import histories
from automation.durable.client import filters
from automation.durable.client.views import (
    LIST_COLUMNS,
    STATUSES,
    WorkflowExecution,
    WorkflowExecutionCount,
    WorkflowExecutionCountAggregationGroup,
)
from automation.durable.histories import WorkflowHistory
from automation.errors import InvalidInput
from automation.models import WorkflowExecution as ExecutionRow


class WorkflowExecutionIterator:
    """Executions that a filter finds; walk it once. A page is read when it is come to."""

    def __init__(self, query: str | None, limit: int | None, page_size: int, next_page_token: bytes | None) -> None:
        if page_size < 1:
            raise InvalidInput(f"page_size must be at least 1, not {page_size}")
        self._filter = filters.parse(query)
        self._limit = limit
        self._page_size = page_size
        self._offset = _offset_of(next_page_token)
        self._more = True
        self._page: list[WorkflowExecution] = []
        self._place = 0
        self._given = 0

    @property
    def current_page(self) -> Sequence[WorkflowExecution]:
        return self._page

    @property
    def current_page_index(self) -> int:
        return self._place

    @property
    def next_page_token(self) -> bytes | None:
        """Where a later call goes on; None at the end."""
        return str(self._offset).encode() if self._more else None

    def __iter__(self) -> Iterator[WorkflowExecution]:
        return self

    def __next__(self) -> WorkflowExecution:
        if self._limit is not None and self._given >= self._limit:
            raise StopIteration
        if self._place >= len(self._page):
            if not self._more:
                raise StopIteration
            self._fetch()
            if not self._page:
                raise StopIteration
        found = self._page[self._place]
        self._place += 1
        self._given += 1
        return found

    def __aiter__(self) -> AsyncIterator[WorkflowExecution]:
        return self

    async def __anext__(self) -> WorkflowExecution:
        if self._place >= len(self._page) and self._more and (self._limit is None or self._given < self._limit):
            await self.fetch_next_page()
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    async def fetch_next_page(self) -> None:
        """Read the next page into `current_page`."""
        await sync_to_async(self._fetch)()

    async def map_histories(
        self,
        *,
        event_filter_type: Any = None,
        skip_archival: bool = False,
        rpc_metadata: Mapping[str, Any] = {},
        rpc_timeout: dt.timedelta | None = None,
    ) -> AsyncIterator[WorkflowHistory]:
        """The history of each, one after the other, as `Replayer.replay_workflows` takes them."""
        async for one in self:
            yield await sync_to_async(_history_of)(one.run_id)

    def _fetch(self) -> None:
        found = self._filter.apply(rows()).only(*LIST_COLUMNS)[self._offset : self._offset + self._page_size + 1]
        page = [WorkflowExecution.of(row) for row in found]
        self._more = len(page) > self._page_size
        self._page, self._place = page[: self._page_size], 0
        self._offset += len(self._page)


def _history_of(run_id: str) -> WorkflowHistory:
    return histories.export(ExecutionRow.objects.get(id=run_id))


def rows() -> QuerySet[ExecutionRow]:
    """The executions of this installation's namespace."""
    return ExecutionRow.objects.filter(namespace=settings.WORKFLOW_NAMESPACE)


def count(query: str | None) -> WorkflowExecutionCount:
    """How many executions a filter finds."""
    asked = filters.parse(query)
    found = asked.apply(rows()).order_by()
    if asked.group_by is None:
        return WorkflowExecutionCount(found.count())
    totals: dict[str, int] = {}
    for status, number in found.values_list("status").annotate(Count("id")):
        name = STATUSES[status].name
        totals[name] = totals.get(name, 0) + number
    groups = [WorkflowExecutionCountAggregationGroup(number, [name]) for name, number in sorted(totals.items())]
    return WorkflowExecutionCount(sum(totals.values()), groups)


def _offset_of(token: bytes | None) -> int:
    if not token:
        return 0
    try:
        return max(0, int(token))
    except ValueError:
        raise InvalidInput("next_page_token is none that a list gave") from None
