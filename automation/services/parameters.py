"""What a workflow is started with: its run method's parameters, and values for them from a command line or JSON.

A run method that takes one dataclass is started with that class's fields.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from automation.durable import payloads
from automation.durable.registry import WorkflowDefinition
from automation.errors import InvalidInput

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()


@dataclasses.dataclass(frozen=True)
class Parameter:
    """`default` is REQUIRED where there is none."""

    name: str
    hint: Any
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def type(self) -> str:
        return describe(self.hint)

    def __str__(self) -> str:
        return f"{self.name} ({self.type}{'' if self.required else f', default {_short(self.default)}'})"


def of_workflow(definition: WorkflowDefinition) -> list[Parameter]:
    """The parameters that the workflow is started with, in order."""
    plain = of_function(inspect.unwrap(getattr(definition.cls, definition.run)))
    return _fields(plain[0].hint) if _takes_one_dataclass(plain) else plain


def of_function(function: Callable[..., Any]) -> list[Parameter]:
    """The positional parameters of a function, or of a method without its `self`."""
    function = inspect.unwrap(function)
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        hints = {}
    return [
        Parameter(one.name, hints.get(one.name, Any), REQUIRED if one.default is one.empty else one.default)
        for one in inspect.signature(function).parameters.values()
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) and one.name != "self"
    ]


def bind(
    definition: WorkflowDefinition,
    texts: Mapping[str, str | Sequence[str]],
    values: Mapping[str, Any] | None = None,
    pending: Sequence[str] = (),
) -> tuple[Any, ...]:
    """The run method's arguments from parameters by name: `texts` as typed on a command line, `values` as read from
    JSON. Raises InvalidInput, which lists the right parameters, for an unknown, missing, doubled or mistyped one.

    With `pending`, parameters that get their values later, all else is checked and nothing returned."""
    plain = of_function(inspect.unwrap(getattr(definition.cls, definition.run)))
    flat = _takes_one_dataclass(plain)
    values = dict(values or {})
    if flat and not texts and set(values) == {plain[0].name} and isinstance(values[plain[0].name], dict):
        values = values[plain[0].name]  # {"data": {…}} is {…}
    known = {parameter.name: parameter for parameter in (_fields(plain[0].hint) if flat else plain)}
    _check_names(definition, known, [*texts, *values, *pending])
    problems: dict[str, list[str]] = {}
    found: dict[str, Any] = {}
    for name, parameter in known.items():
        try:
            if name in texts:
                found[name] = check(from_text(texts[name], parameter.hint), parameter.hint)
            elif name in values:
                found[name] = check(values[name], parameter.hint)
        except ValueError as error:
            problems[name] = [str(error)]
    if problems:
        raise InvalidInput(f"{definition.name} cannot be started with these parameters", problems)
    if pending:
        return ()
    if flat:
        return (plain[0].hint(**found),)
    return _in_order(definition, plain, found)


def bind_positional(definition: WorkflowDefinition, texts: Sequence[str]) -> tuple[Any, ...]:
    """`bind`, with the texts of a command line in the order of the parameters."""
    known = of_workflow(definition)
    if len(texts) > len(known):
        raise InvalidInput(f"{definition.name} takes {len(known)} parameters, not {len(texts)}: {_listed(known)}")
    return bind(definition, {parameter.name: text for parameter, text in zip(known, texts, strict=False)})


def _check_names(definition: WorkflowDefinition, known: Mapping[str, Parameter], given: Sequence[str]) -> None:
    problems: dict[str, list[str]] = {}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            problems[name] = ["there is no such parameter" + (f"; did you mean {near[0]!r}?" if near else "")]
        elif given.count(name) > 1:
            problems[name] = ["it is given twice: as an option and in the JSON input"]
    for name, parameter in known.items():
        if parameter.required and name not in given:
            problems[name] = [f"it is missing: {parameter.type} is required"]
    if problems:
        raise InvalidInput(f"{definition.name} takes: {_listed(list(known.values()))}", problems)


def _in_order(definition: WorkflowDefinition, plain: Sequence[Parameter], found: Mapping[str, Any]) -> tuple[Any, ...]:
    """Positional arguments; a default before the last given one is written out."""
    last = max((index for index, one in enumerate(plain) if one.name in found), default=-1)
    return tuple(found.get(one.name, one.default) for one in plain[: last + 1])


# -- values ------------------------------------------------------------------------------------------------------------


def from_text(text: str | Sequence[str], hint: Any) -> Any:
    """What somebody typed, as JSON's types; several texts are a list. Raises ValueError saying what was expected."""
    origin, arguments = _unpacked(hint)
    if not isinstance(text, str):
        if not _is_list(origin):
            raise ValueError(f"it is given {len(text)} times, and takes one {describe(hint)}")
        return [from_text(one, arguments[0] if arguments else Any) for one in text]
    if origin in (typing.Union, types.UnionType):
        return _one_of(text, arguments)
    if origin is typing.Literal:
        return next((option for option in arguments if str(option) == text), text)
    if hint is bool:
        if text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
        raise ValueError(f"expected true or false, got {text!r}")
    if hint is int or hint is float:
        try:
            return hint(text)
        except ValueError:
            raise ValueError(f"expected {_a(hint)}, got {text!r}") from None
    if hint is Any or hint is object or hint is inspect.Parameter.empty:
        try:
            return json.loads(text)
        except ValueError:
            return text
    if _is_list(origin) and not text.lstrip().startswith("["):
        return [from_text(one.strip(), arguments[0] if arguments else Any) for one in text.split(",") if one.strip()]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return next((one.value for one in hint if text in (one.name, str(one.value))), text)
    if _is_list(origin) or origin is dict or (isinstance(hint, type) and dataclasses.is_dataclass(hint)):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"expected {describe(hint)} as JSON: {error}") from None
    if describe(hint) == "timedelta":
        return from_text(text, float)
    return text


def check(value: Any, hint: Any) -> Any:
    """A JSON value as the annotation wants it. Raises ValueError saying what was expected."""
    origin, arguments = _unpacked(hint)
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return check(value, option)
            except ValueError:
                continue
        raise ValueError(f"expected {describe(hint)}, got {_short(value)}")
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError(f"expected one of {', '.join(map(repr, arguments))}, got {_short(value)}")
        return value
    simple: dict[Any, tuple[type, ...]] = {
        **{bool: (bool,), int: (int,), float: (int, float), str: (str,), dict: (dict,), list: (list, tuple)},
        type(None): (type(None),),
    }
    wanted = simple.get(origin if origin in (list, dict) else hint)
    if wanted is not None and (not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)):
        raise ValueError(f"expected {_a(hint)}, got {_short(value)}")
    if origin is list and arguments:
        return [check(one, arguments[0]) for one in value]
    convert = payloads.converter(hint)
    if convert is None:
        return value
    try:
        converted = convert(value)
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ValueError(f"expected {_a(hint)}, got {_short(value)} ({error})") from None
    if isinstance(hint, type) and not isinstance(converted, hint) and hint is not float:
        raise ValueError(f"expected {_a(hint)}, got {_short(value)}")
    return converted


def describe(hint: Any) -> str:
    """An annotation as a person reads it: `int`, `list[int]`, `str | None`."""
    if hint is type(None):
        return "null"
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    origin, arguments = _unpacked(hint)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(describe, arguments))
    return re.sub(r"[A-Za-z_][\w.]*\.", "", str(hint))


def _one_of(text: str, options: Sequence[Any]) -> Any:
    if type(None) in options and text.lower() in ("", "null", "none"):
        return None
    others = [option for option in options if option is not type(None)]
    for option in sorted(others, key=lambda option: option is str):  # text takes anything: it comes last
        try:
            return _plain(check(from_text(text, option), option))
        except ValueError:
            continue
    if len(others) == 1:
        return from_text(text, others[0])
    return text


def _plain(value: Any) -> Any:
    """Back to JSON's types, as `from_text` promises."""
    return payloads.decode(payloads.encode(value))


def _unpacked(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _unpacked(arguments[0])
    return (hint if origin is None and hint in (list, tuple, set, dict) else origin), arguments


def _is_list(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset)


def _takes_one_dataclass(plain: Sequence[Parameter]) -> bool:
    return len(plain) == 1 and isinstance(plain[0].hint, type) and dataclasses.is_dataclass(plain[0].hint)


def _fields(cls: Any) -> list[Parameter]:
    hints = typing.get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        default: Any = REQUIRED
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if field.init:
            found.append(Parameter(field.name, hints.get(field.name, Any), default))
    return found


def _listed(known: Sequence[Parameter]) -> str:
    return ", ".join(map(str, known)) or "no parameters"


def _a(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "an object"}
    return names.get(hint) or f"{describe(hint)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
