"""Values in rows: JSON text, read back by type annotations.

What goes in: JSON's own types, dataclasses, named tuples, enums, UUID, Decimal, datetime, date, time, timedelta, bytes,
tuples, sets, and pydantic models. What comes out is what the reader's annotation says (see `hints`); without one it is
JSON's own types. The text is ASCII (JSON's escapes for the rest), so that NUL and lone surrogates, which databases
refuse, survive.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Any

from automation.durable import codecs
from automation.durable.hints import PayloadError, converter

__all__ = ["PayloadError", "converter", "decode", "encode", "encode_plain"]


def encode(value: Any, place: str = "value") -> str:
    """The value as compact JSON text, sealed where the settings say so (see `codecs`). Raises PayloadError naming the
    path of the offending value, from `place`."""
    return codecs.seal(encode_plain(value, place))


def encode_plain(value: Any, place: str = "value") -> str:
    """`encode` without a seal: for what is Weir's own, such as a step's options."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(_explain(value, place, error)) from None


def decode(text: str, hint: Any = Any) -> Any:
    """The value that `encode` wrote, as `hint` (a type annotation) says; empty text is None."""
    if not text:
        return None
    value = json.loads(codecs.unseal(text) if text[0] == codecs.SEAL else text)
    if hint is Any:
        return value
    convert = converter(hint)
    return value if convert is None else convert(value)


def _default(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, uuid.UUID | decimal.Decimal):
        return str(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    if hasattr(value, "_meta") and hasattr(value, "pk"):
        raise TypeError(f"a {type(value).__name__} is a row of the database: give its id, and load it where it is used")
    raise TypeError(f"a {type(value).__name__} cannot be written")


_ENCODER = json.JSONEncoder(default=_default, separators=(",", ":"), allow_nan=False)


def _explain(value: Any, place: str, error: Exception) -> str:
    """Find the first value that does not encode by itself, depth first."""
    if isinstance(error, RecursionError) or "Circular" in str(error):
        return f"{place}: nested too deeply, or contains itself"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        children = [(f"{place}.{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif isinstance(value, dict):
        for key in value:
            if not isinstance(key, str | int | float | bool | None):
                return f"{place}: key {key!r} is a {type(key).__name__}; keys must be text"
        children = [(f"{place}[{key!r}]", item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        children = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
    else:
        children = []
    for path, child in children:
        try:
            _ENCODER.encode(child)
        except (TypeError, ValueError) as inner:
            return _explain(child, path, inner)
    return (
        f"{place}: {error}; expected JSON types, dataclasses, enums, UUID, Decimal, dates and times, timedelta or bytes"
    )
