"""Values in rows: JSON text, read back by type annotations.

What goes in: JSON's own types, dataclasses, enums, UUID, Decimal, datetime, date, time, timedelta, bytes, tuples and
sets. What comes out is what the reader's annotation says; without one it is JSON's own types. The text is ASCII
(JSON's escapes for the rest), so that NUL and lone surrogates, which databases refuse, survive.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import json
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any

Converter = Callable[[Any], Any]


class PayloadError(TypeError):
    """A value that cannot be written or read; the message names its place."""


def encode(value: Any, place: str = "value") -> str:
    """The value as compact JSON text. Raises PayloadError naming the path of the offending value, from `place`."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(_explain(value, place, error)) from None


def decode(text: str, hint: Any = Any) -> Any:
    """The value that `encode` wrote, as `hint` (a type annotation) says; empty text is None."""
    if not text:
        return None
    value = json.loads(text)
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


@functools.lru_cache(maxsize=2048)
def converter(hint: Any) -> Converter | None:
    """How to turn JSON's types into what `hint` asks for; None where nothing is to do."""
    if hint in (Any, None, type(None), object, str, int, bool, dict, list, inspect_empty):
        return None
    if isinstance(hint, typing.TypeVar | str | typing.ForwardRef):
        return None
    if hint is float:
        return lambda value: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return converter(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is typing.Literal:
        return None
    if origin is not None:
        return _generic(origin, arguments)
    if isinstance(hint, type):
        return _plain_class(hint)
    return None


class _Empty:
    """Stands for 'no annotation'."""


inspect_empty = _Empty


def _plain_class(hint: type) -> Converter | None:
    if hint is tuple:
        return tuple
    if hint in (set, frozenset):
        return hint
    if issubclass(hint, enum.Enum):
        return hint
    if hint is uuid.UUID:
        return lambda value: uuid.UUID(value) if isinstance(value, str) else value
    if hint is decimal.Decimal:
        return lambda value: decimal.Decimal(value) if isinstance(value, str | int) else value
    if hint in (dt.datetime, dt.date, dt.time):
        return lambda value: hint.fromisoformat(value) if isinstance(value, str) else value
    if hint is dt.timedelta:
        return lambda value: dt.timedelta(seconds=value) if isinstance(value, int | float) else value
    if hint is bytes:
        return lambda value: base64.b64decode(value) if isinstance(value, str) else value
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint)
    if hasattr(hint, "model_validate"):
        return hint.model_validate  # type: ignore[no-any-return]
    return None


def _dataclass(hint: type) -> Converter:
    hints = typing.get_type_hints(hint)
    fields = {field.name: hints.get(field.name, Any) for field in dataclasses.fields(hint) if field.init}

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            raise PayloadError(f"{hint.__name__}: expected an object, got {type(value).__name__}")
        arguments = {}
        for name, field_hint in fields.items():
            if name in value:
                inner = converter(field_hint)
                arguments[name] = value[name] if inner is None else inner(value[name])
        try:
            return hint(**arguments)
        except TypeError as error:
            raise PayloadError(f"{hint.__name__}: {error}") from None

    return convert


def _union(arguments: tuple[Any, ...]) -> Converter | None:
    options = [argument for argument in arguments if argument is not type(None)]
    converters = [converter(option) for option in options]
    if all(convert is None for convert in converters):
        return None

    def convert(value: Any) -> Any:
        if value is None:
            return None
        for option, inner in zip(options, converters, strict=True):
            if inner is None and (not isinstance(option, type) or isinstance(value, option)):
                return value
            if inner is not None:
                try:
                    return inner(value)
                except (TypeError, ValueError, ArithmeticError):
                    continue
        return value

    return convert


def _generic(origin: Any, arguments: tuple[Any, ...]) -> Converter | None:
    if not isinstance(origin, type):
        return None
    if issubclass(origin, tuple):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            each = converter(arguments[0])
            return lambda value: tuple(value if each is None else map(each, value))
        inners = [converter(argument) for argument in arguments]
        return lambda value: tuple(
            item if inner is None else inner(item) for item, inner in zip(value, inners, strict=False)
        )
    if issubclass(origin, dict) or hasattr(origin, "keys"):
        key, item = (converter(argument) for argument in (*arguments, Any, Any)[:2])
        if arguments and arguments[0] is int:
            key = int
        if key is None and item is None:
            return None
        return lambda value: {
            (k if key is None else key(k)): (v if item is None else item(v)) for k, v in value.items()
        }
    if hasattr(origin, "__iter__"):
        each = converter(arguments[0]) if arguments else None
        make: Any = origin if origin in (set, frozenset) else list
        if each is None and make is list:
            return None
        return lambda value: make(value if each is None else map(each, value))
    return _plain_class(origin)
