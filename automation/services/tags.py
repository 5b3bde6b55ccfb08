"""Tags: words that organizers put on workflows to find them by."""

from __future__ import annotations

from collections.abc import Iterable


def normal(tags: Iterable[str]) -> list[str]:
    """In lower case, with single blanks, each once, sorted."""
    return sorted({" ".join(tag.lower().split()) for tag in tags})
