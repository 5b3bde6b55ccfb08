"""Reading JSON bodies: bounded in length and depth, and without values that no database takes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from automation.api.problems import WHOLE_BODY, TooLarge
from automation.errors import InvalidInput

MAX_DEPTH = 64
"""Levels of nesting; conditions of ten nested groups inside a workflow's actions take 25."""


class StrictJSONParser(BaseParser):
    """UTF-8 JSON of at most API_MAX_BODY_BYTES and MAX_DEPTH levels; 413 or 400 otherwise.

    Refuses NaN and infinities (also as 1e999), NUL characters and lone surrogates, naming the place: PostgreSQL's text
    and jsonb take none of them.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit: int = settings.API_MAX_BODY_BYTES
        # What announces too much is not even read.
        body = stream.read(limit + 1) if _announced_length(parser_context) <= limit else None
        if body is None or len(body) > limit:
            raise TooLarge(f"The request's body is longer than {limit} bytes.")
        try:
            data = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
        except RecursionError:
            raise ParseError(f"JSON: nested deeper than {MAX_DEPTH} levels.") from None
        except ValueError as error:  # UnicodeDecodeError, JSONDecodeError, and integers of thousands of digits
            raise ParseError(f"JSON: {error}") from None
        refuse_unstorable(data)
        return data


def _announced_length(parser_context: Mapping[str, Any] | None) -> int:
    request = (parser_context or {}).get("request")
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0) if request is not None else 0
    except ValueError:
        return 0


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def refuse_unstorable(data: Any) -> None:
    """Raises InvalidInput for text with a NUL character or a lone surrogate, ParseError for too deep nesting.

    Walks with a stack of its own: what is checked here may be nested deeper than Python recurses.
    """
    pending: list[tuple[Any, str, int]] = [(data, "", 0)]
    while pending:
        value, path, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ParseError(f"JSON: nested deeper than {MAX_DEPTH} levels.")
        if isinstance(value, str):
            _refuse_text(value, path)
        elif isinstance(value, dict):
            for key, inner in value.items():
                _refuse_text(key, path)
                pending.append((inner, f"{path}.{key}" if path else key, depth + 1))
        elif isinstance(value, list):
            pending.extend((inner, f"{path}[{index}]", depth + 1) for index, inner in enumerate(value))


def _refuse_text(text: str, path: str) -> None:
    problem = ""
    if "\x00" in text:
        problem = "Contains a NUL character (\\u0000), which text cannot have."
    else:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            problem = "Contains half of a surrogate pair, which is not a character."
    if problem:
        place = path or WHOLE_BODY
        raise InvalidInput(f"{place}: {problem}", {place: [problem]})
