"""What is wrong with something a person wrote: where, what, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """`path` names the place (`conditions[0].rules[2].field`, empty for the whole); `line` is set for templates."""

    path: str
    message: str
    suggestion: str = ""
    line: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate that `word` was most likely meant to be, or the empty string."""
    # difflib is quadratic in the word's length; nobody misspells a name of 100 characters.
    matches = difflib.get_close_matches(word[:100].casefold(), sorted(candidates), n=1, cutoff=0.6)
    return matches[0] if matches else ""
