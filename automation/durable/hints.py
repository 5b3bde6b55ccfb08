"""From JSON's types to what a type annotation asks for.

`converter(hint)` is made once a hint and is None where nothing is to do. What does not fit raises PayloadError with the
path to it; `None` fits everywhere, since annotations often leave it out.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

Converter = Callable[[Any], Any]


class PayloadError(TypeError):
    """A value that cannot be written or read; the message names its place."""


def converter(hint: Any) -> Converter | None:
    """How to turn JSON's types into what `hint` asks for; None where nothing is to do."""
    try:
        return _cached(hint)
    except TypeError:  # a hint with something in it that does not hash, as `Annotated` may have
        return _cached.__wrapped__(hint)


@functools.lru_cache(maxsize=2048)
def _cached(hint: Any) -> Converter | None:
    if hint in (Any, None, type(None), object, str, int, bool, dict, list):
        return None
    if hasattr(hint, "__supertype__"):  # NewType
        return converter(hint.__supertype__)
    if hasattr(hint, "__value__"):  # `type X = …`
        return converter(hint.__value__)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return converter(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is typing.Literal:
        return None
    if isinstance(origin, type):
        return _generic(origin, arguments)
    if isinstance(hint, type):
        return _plain_class(hint)
    return None


# -- single values -----------------------------------------------------------------------------------------------------

_LEAVES: dict[type, tuple[tuple[type, ...], Callable[[Any], Any]]] = {
    uuid.UUID: ((str,), uuid.UUID),
    decimal.Decimal: ((str, int, float), lambda value: decimal.Decimal(str(value))),
    dt.datetime: ((str,), dt.datetime.fromisoformat),
    dt.date: ((str,), dt.date.fromisoformat),
    dt.time: ((str,), dt.time.fromisoformat),
    dt.timedelta: ((int, float), lambda value: dt.timedelta(seconds=value)),
    bytes: ((str,), lambda value: base64.b64decode(value, validate=True)),
}


def _plain_class(hint: type) -> Converter | None:
    if hint is float:
        return lambda value: float(value) if type(value) is int else value
    if hint in _LEAVES:
        return _leaf(hint)
    if hint in (tuple, set, frozenset):
        return _sequence(hint, None)
    if issubclass(hint, enum.Enum):
        return _enum(hint)
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, {})
    if typing.is_typeddict(hint):
        return _typed_dict(hint)
    if issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return _named_tuple(hint)
    if hasattr(hint, "model_validate"):
        return _model(hint)
    return None


def _leaf(hint: type) -> Converter:
    accepted, make = _LEAVES[hint]

    def convert(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, accepted) and not isinstance(value, bool):
            try:
                return make(value)
            except (ValueError, ArithmeticError):
                pass
        return _refuse(value, f"a {hint.__name__}")

    return convert


def _enum(hint: type[enum.Enum]) -> Converter:
    def convert(value: Any) -> Any:
        if value is None and None not in hint._value2member_map_:
            return None
        try:
            return hint(value)
        except ValueError:
            return _refuse(value, f"one of {hint.__name__}: {', '.join(repr(member.value) for member in hint)}")

    return convert


def _model(hint: Any) -> Converter:
    def convert(value: Any) -> Any:
        if value is None:
            return None
        try:
            return hint.model_validate(value)
        except ValueError as error:
            raise PayloadError(f"{hint.__name__}: {error}") from None

    return convert


def _refuse(value: Any, wanted: str) -> NoReturn:
    shown = repr(value)
    raise PayloadError(f"{shown if len(shown) <= 80 else shown[:80] + '…'} is not {wanted}")


# -- fields ------------------------------------------------------------------------------------------------------------


def _dataclass(hint: type, variables: Mapping[Any, Any]) -> Converter:
    fields = {field.name: _hint_of(hint, field.name, variables) for field in dataclasses.fields(hint) if field.init}

    def convert(value: Any) -> Any:
        if value is None:
            return None
        arguments = _converted(hint.__name__, _object(value, hint), fields)
        try:
            return hint(**{name: item for name, item in arguments.items() if name in fields})
        except TypeError as error:
            raise PayloadError(f"{hint.__name__}: {error}") from None

    return convert


def _typed_dict(hint: type) -> Converter:
    fields = {name: _hint_of(hint, name, {}) for name in hint.__annotations__}
    return lambda value: None if value is None else _converted(hint.__name__, _object(value, hint), fields)


def _named_tuple(hint: Any) -> Converter:
    fields = {name: _hint_of(hint, name, {}) for name in hint._fields}

    def convert(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list | tuple) or len(value) > len(fields):
            _refuse(value, f"a {hint.__name__} of {len(fields)}")
        arguments = _converted(hint.__name__, dict(zip(fields, value, strict=False)), fields)
        try:
            return hint(**arguments)
        except TypeError as error:
            raise PayloadError(f"{hint.__name__}: {error}") from None

    return convert


def _object(value: Any, hint: type) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PayloadError(f"{hint.__name__}: expected an object, got {type(value).__name__}")
    return value


def _hint_of(cls: type, name: str, variables: Mapping[Any, Any]) -> Callable[[], Any]:
    """A field's hint, found when it is first needed: a class may speak of itself, or of one that is defined later."""

    @functools.cache
    def find() -> Any:
        try:
            found = typing.get_type_hints(cls).get(name, Any)
        except NameError:  # an annotation that only type checkers can resolve
            return Any
        if found in variables:
            return variables[found]
        inner = getattr(found, "__parameters__", ())
        return found[tuple(variables.get(one, Any) for one in inner)] if inner and variables else found

    return find


def _converted(owner: str, value: Mapping[str, Any], fields: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    result = dict(value)
    for name, hint in fields.items():
        if name in result and (convert := converter(hint())) is not None:
            try:
                result[name] = convert(result[name])
            except PayloadError as error:
                raise PayloadError(f"{owner}.{name}: {error}") from None
    return result


# -- several values ----------------------------------------------------------------------------------------------------


def _generic(origin: type, arguments: tuple[Any, ...]) -> Converter | None:
    if dataclasses.is_dataclass(origin):
        return _dataclass(origin, dict(zip(getattr(origin, "__parameters__", ()), arguments, strict=False)))
    if issubclass(origin, tuple) and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return _fixed_tuple([converter(argument) for argument in arguments])
    if issubclass(origin, dict) or hasattr(origin, "keys"):
        return _mapping(*(*arguments, Any, Any)[:2])
    if hasattr(origin, "__iter__"):
        make = origin if origin in (tuple, set, frozenset) else list
        each = converter(arguments[0]) if arguments else None
        return None if each is None and make is list else _sequence(make, each)
    return _plain_class(origin)


def _sequence(make: Any, each: Converter | None) -> Converter:
    def convert(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            _refuse(value, "a list")
        return make(value) if each is None else make(_each(each, enumerate(value)))

    return convert


def _fixed_tuple(inners: list[Converter | None]) -> Converter:
    def convert(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            _refuse(value, "a list")
        pairs = zip(inners, enumerate(value), strict=False)
        return tuple(item if inner is None else next(_each(inner, [(at, item)])) for inner, (at, item) in pairs)

    return convert


def _each(convert: Converter, items: Iterable[tuple[Any, Any]]) -> typing.Iterator[Any]:
    for place, item in items:
        try:
            yield convert(item)
        except PayloadError as error:
            raise PayloadError(f"[{place!r}]: {error}") from None


def _mapping(key_hint: Any, item_hint: Any) -> Converter | None:
    key, item = _key(key_hint), converter(item_hint)
    if key is None and item is None:
        return None

    def convert(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            _refuse(value, "an object")
        keys = value if key is None else _each(key, ((name, name) for name in value))
        items = value.values() if item is None else _each(item, value.items())
        return dict(zip(keys, items, strict=True))

    return convert


def _key(hint: Any) -> Converter | None:
    """JSON's keys are text."""
    if hint is bool:
        return lambda name: name == "true"
    if hint in (int, float):
        return lambda name: _number(hint, name)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        members = {str(member.value): member for member in hint}
        return lambda name: members[name] if name in members else _refuse(name, f"a key of {hint.__name__}")
    return converter(hint)


def _number(hint: type, name: str) -> Any:
    try:
        return hint(name)
    except ValueError:
        return _refuse(name, f"a {hint.__name__}")


# -- one of several ----------------------------------------------------------------------------------------------------


def _union(arguments: tuple[Any, ...]) -> Converter | None:
    options = [argument for argument in arguments if argument is not type(None)]
    converters = [converter(option) for option in options]
    if all(convert is None for convert in converters):
        return None

    def convert(value: Any) -> Any:
        if value is None:
            return None
        refusals = []
        for option in sorted(options, key=lambda option: _misfit(option, value)):
            inner = converter(option)
            if inner is None:
                if _is_plainly(option, value):
                    return value
                continue
            try:
                return inner(value)
            except (TypeError, ValueError, ArithmeticError) as error:
                refusals.append(str(error))
        if Any in options:
            return value
        if len(options) == 1:
            raise PayloadError(refusals[0])
        return _refuse(value, f"any of the alternatives ({'; '.join(refusals)})")

    return convert


def _is_plainly(option: Any, value: Any) -> bool:
    """Whether a value that needs no conversion is what `option` says."""
    if typing.get_origin(option) is typing.Literal:
        return value in typing.get_args(option)
    kind = typing.get_origin(option) or option
    if not isinstance(kind, type):
        return True
    return isinstance(value, kind) or (kind is not dict and isinstance(value, list) and hasattr(kind, "__iter__"))


def _misfit(option: Any, value: Any) -> int:
    """How badly an alternative fits by what can be seen of it; where equal, the order of the annotation counts."""
    kind = typing.get_origin(option) or option
    if isinstance(value, dict) and isinstance(kind, type):
        names: set[str] = set()
        if dataclasses.is_dataclass(kind):
            names = {field.name for field in dataclasses.fields(kind) if field.init}
        elif hasattr(kind, "model_fields"):
            names = set(kind.model_fields)
        elif typing.is_typeddict(kind):
            names = set(kind.__annotations__)
        if names:
            return len(names ^ set(value))
    if kind is dt.datetime and isinstance(value, str) and len(value) <= len("2026-01-01"):
        return 1  # a date, if that is among the alternatives
    return 0
