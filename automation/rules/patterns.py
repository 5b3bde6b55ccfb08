"""Regular expressions on RE2: linear in the text, whatever the pattern.

Programs are bounded too, because linear means text × program.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2

from automation.rules.values import Unevaluable

MAX_PATTERN = 1_000
"""Characters of a pattern."""
MAX_PROGRAM = 10_000
"""Instructions of a compiled pattern."""
MAX_WORK = 20_000_000
"""Instructions × characters of one search: some 50 ms at worst, a megabyte of text for an ordinary pattern."""

_options = re2.Options()
_options.case_sensitive = False
_options.log_errors = False
_options.max_mem = 1 << 20


class PatternError(ValueError):
    """The pattern cannot be used. The message says why."""


@lru_cache(maxsize=512)
def searcher(pattern: str) -> Callable[[str], bool]:
    """A function telling whether `pattern` occurs in a text, ignoring case.

    Raises `PatternError` for what RE2 cannot compile (backreferences and look-around among it) and for a pattern
    beyond the bounds. The function raises `Unevaluable` for a text that would take more than `MAX_WORK`.
    """
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"the pattern has {len(pattern)} characters; at most {MAX_PATTERN} are allowed")
    try:
        compiled: Any = re2.compile(pattern.encode(), _options)
    except UnicodeEncodeError:
        raise PatternError("the pattern holds a lone surrogate, which is no character") from None
    except re2.error as error:
        reason = error.args[0] if error.args else "unknown error"
        raise PatternError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from None
    if compiled.programsize > MAX_PROGRAM:
        raise PatternError(f"the pattern is too large: {compiled.programsize} instructions of at most {MAX_PROGRAM}")
    search = compiled.search
    longest = MAX_WORK // compiled.programsize

    def found(text: str) -> bool:
        if len(text) > longest:
            raise Unevaluable(f"the text has {len(text)} characters; this pattern runs on at most {longest}")
        return search(text.encode("utf-8", "replace")) is not None

    return found
