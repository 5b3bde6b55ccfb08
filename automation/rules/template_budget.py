"""What one rendering may cost, and the accounting that stops it.

Python code cannot be interrupted from another thread, and signals only work in the main one, so the bound on time is
cooperative: the sandbox calls `tick()` before every call, filter, test, operator, comparison, attribute and loop turn.
That holds because each such step is itself bounded: no value may weigh more than `MAX_WEIGHT`, counted as if shared
parts were written out, so a list that contains itself ten times over cannot blow up in one `str()`.
"""

from __future__ import annotations

import time
from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from contextvars import ContextVar
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from automation.rules.template_errors import TemplateBoundError

MAX_SOURCE = 100_000
"""Bytes of a template, in UTF-8."""
MAX_OUTPUT = 1_000_000
"""Bytes of a rendered text, in UTF-8."""
MAX_SECONDS = 1.0
"""Seconds of this thread's processor time for one rendering. A busy machine or a paused worker fails nothing."""
MAX_WEIGHT = 1_000_000
"""Characters plus items of any one value."""
MAX_NESTING = 32
"""Lists within lists of any one value."""
MAX_ALLOCATED = 32_000_000
"""Characters plus items of all values that one rendering makes."""
MAX_TURNS = 1_000_000
"""Loop turns of one rendering."""
MAX_BITS = 4_096
"""Bits of an integer."""

_SCALARS = frozenset({type(None), bool, float, datetime, date, clock_time, timedelta, Decimal})
_VIEWS = (KeysView, ValuesView, ItemsView)


class Budget:
    """The running costs of one rendering."""

    __slots__ = ("_allocated", "_deadline", "_turns", "fallbacks_used")

    def __init__(self) -> None:
        self._deadline = time.thread_time() + MAX_SECONDS
        self._allocated = 0
        self._turns = 0
        self.fallbacks_used: dict[str, None] = {}

    def tick(self) -> None:
        """Raise `TemplateBoundError` when the time is up."""
        if time.thread_time() > self._deadline:
            raise TemplateBoundError(f"rendering took longer than {MAX_SECONDS:g} s")

    def turn(self) -> None:
        """One turn of a loop."""
        self._turns += 1
        if self._turns > MAX_TURNS:
            raise TemplateBoundError(f"the loops turn more than {MAX_TURNS:,} times")
        self.tick()

    def allocate(self, weight: int) -> None:
        """A value of that weight was made."""
        self._allocated += weight
        if self._allocated > MAX_ALLOCATED:
            raise TemplateBoundError(f"the template makes more than {MAX_ALLOCATED:,} characters and items in all")


_current: ContextVar[Budget] = ContextVar("weir_template_budget")
current = _current.get
"""The budget of the rendering that the calling code is part of."""


def start() -> Budget:
    """A new budget for a rendering that begins in this thread or task."""
    budget = Budget()
    _current.set(budget)
    return budget


def weigh(*values: Any) -> int:
    """The characters and items of all values together, shared parts counted as often as they occur.

    Raises `TemplateBoundError` beyond `MAX_WEIGHT`, `MAX_NESTING` or `MAX_BITS`.
    """
    weight = 0
    level: list[Any] = list(values)
    for _ in range(MAX_NESTING):
        deeper: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str or kind is Markup:
                weight += len(value)
            elif kind is int:
                if value.bit_length() > MAX_BITS:
                    raise TemplateBoundError(f"a number has more than {MAX_BITS} bits")
                weight += 1
            elif kind in _SCALARS:
                weight += 1
            else:
                weight += 1 + _spread(value, deeper)
            if weight + len(deeper) > MAX_WEIGHT:
                raise TemplateBoundError(f"a value is larger than {MAX_WEIGHT:,} characters and items")
        if not deeper:
            return weight
        level = deeper
    raise TemplateBoundError(f"a value is nested deeper than {MAX_NESTING}")


def _spread(value: Any, into: list[Any]) -> int:
    """Add a container's members to `into`; the weight of what is no container."""
    if isinstance(value, (list, tuple, set, frozenset, *_VIEWS)):
        if len(value) <= MAX_WEIGHT:
            into.extend(value)
        return len(value)
    if isinstance(value, dict):
        if len(value) <= MAX_WEIGHT:
            into.extend(value.keys())
            into.extend(value.values())
        return len(value)
    if isinstance(value, (str, bytes, range)):
        return len(value)
    return 0


def product(size: int, count: int, what: str) -> None:
    """Refuse an operation that would make `size` × `count` characters or items."""
    if size > 0 and count > 0 and size * count > MAX_WEIGHT:
        raise TemplateBoundError(f"{what} would make more than {MAX_WEIGHT:,} characters or items")


def materialize(items: Iterable[Any]) -> list[Any]:
    """A lazy filter's items as a list, each paid for as it is made."""
    budget = current()
    made: list[Any] = []
    for item in items:
        budget.turn()
        budget.allocate(weigh(item))
        made.append(item)
    return made


class Watched:
    """What a loop runs over: every turn is counted, and time is checked at each."""

    __slots__ = ("_iterable",)

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable

    def __iter__(self) -> Iterator[Any]:
        budget = current()
        for item in self._iterable:
            budget.turn()
            yield item

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]  # a TypeError is what callers expect of an iterator
