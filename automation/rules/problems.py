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


def told(message: str, suggestion: str, line: int | None = None) -> str:
    """What is wrong and what would be right, in one text; a message that names its suggestion does not repeat it."""
    place = f" (line {line})" if line else ""
    return f"{message}{place}" if not suggestion or suggestion in message else f"{message}{place} {suggestion}"


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate that `word` was most likely meant to be, or the empty string."""
    # difflib is quadratic in the word's length; nobody misspells a name of 100 characters.
    matches = difflib.get_close_matches(word[:100].casefold(), sorted(candidates), n=1, cutoff=0.6)
    return matches[0] if matches else ""


def none_of(word: object, choices: Iterable[str]) -> str:
    """That it is none of these, which of them was likely meant, and what they are."""
    known = list(choices)
    meant = nearest(str(word), known)
    hint = f" Did you mean {meant!r}?" if meant else ""
    return f"{str(word)[:100]!r} is none of {', '.join(known)}.{hint}"
