"""Messages from templates: Jinja2 in a bounded sandbox, for text, HTML and subjects.

`render_text`, `render_html` and `render_subject` take a template and the context of `automation.rules.context` and
raise nothing but the `TemplateError` family. A variable without a value (absent, null, or blank where a fallback is
documented) writes its fallback, and the result names it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any

import jinja2
from jinja2 import Template, meta, nodes
from jinja2.exceptions import SecurityError

from automation.rules.fields import CUSTOM_PREFIX, DATETIME_FIELDS, FALLBACKS, FIELDS, known_names
from automation.rules.problems import Problem, nearest
from automation.rules.template_budget import MAX_OUTPUT, MAX_SOURCE, start
from automation.rules.template_errors import (
    TemplateBoundError,
    TemplateError,
    TemplateRenderError,
    TemplateSecurityError,
    TemplateSyntaxError,
)
from automation.rules.template_sandbox import HtmlEnvironment, MessageEnvironment
from automation.rules.values import has_unstorable, moment, preview, storable

__all__ = [
    "Rendered",
    "TemplateBoundError",
    "TemplateError",
    "TemplateRenderError",
    "TemplateSecurityError",
    "TemplateSyntaxError",
    "check_template",
    "render_html",
    "render_subject",
    "render_text",
    "variables_of",
]

_TEXT = MessageEnvironment()
_HTML = HtmlEnvironment()
_MARKUP = re.compile(r"\{[{%#]")
# Line breaks of every kind, C0 and C1 controls: what could end a header line, or hide in one.
_BREAKS = re.compile("[\\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_FILENAME = "<template>"
_SMALL = 10_000
# Named one by one: a worker's soft time limit is an exception as well, and no business of the template's.
_RENDER_FAILURES = (
    jinja2.TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered text, and the names of the variables that had no value, in the order in which they were written."""

    text: str
    fallbacks_used: list[str] = field(default_factory=list)


def render_text(source: str, context: Mapping[str, Any]) -> Rendered:
    """Render a plain-text message or any other unescaped text. Raises `TemplateError`."""
    return _render(_TEXT, source, context)


def render_html(source: str, context: Mapping[str, Any]) -> Rendered:
    """Render an HTML body; every inserted value is escaped. Raises `TemplateError`."""
    return _render(_HTML, source, context)


def render_subject(source: str, context: Mapping[str, Any]) -> Rendered:
    """Render one header line: line breaks and control characters become single spaces. Raises `TemplateError`."""
    rendered = _render(_TEXT, source, context)
    return Rendered(_BREAKS.sub(" ", rendered.text).strip(), rendered.fallbacks_used)


def check_template(
    source: str,
    known_fields: Collection[str] | None = None,
    custom_keys: Collection[str] | None = None,
    *,
    html: bool = False,
) -> list[Problem]:
    """What is wrong with a template, without rendering it: syntax, bounds, refused tags, unknown names with their line.

    `known_fields` are the variables that exist (default: the registry); `custom_keys` are the keys of the event type's
    questions, None accepting every `custom_{key}` that `known_fields` does not restrict.
    """
    environment = _HTML if html else _TEXT
    try:
        _check_type(source)
        _check_source(source)
        with _parsing():
            tree = environment.parse(source)
            problems = [*_unknown_helpers(environment, tree), *_private_attributes(tree)]
            if not problems:
                _compiled(html, source)
                problems = list(_unknown_variables(tree, known_fields, custom_keys))
    except TemplateError as error:
        return [Problem("", error.reason, line=error.line)]
    return problems


def variables_of(source: str) -> dict[str, int]:
    """The variables that a template reads, each with the line where it is first named; empty for a broken template."""
    try:
        _check_type(source)
        _check_source(source)
        with _parsing():
            tree = _TEXT.parse(source)
            undeclared = meta.find_undeclared_variables(tree)
    except TemplateError:
        return {}
    found: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in undeclared:
            found.setdefault(node.name, node.lineno)
    return found


def _unknown_helpers(environment: MessageEnvironment, tree: nodes.Template) -> Iterator[Problem]:
    for kind, node_type, known in (
        ("filter", nodes.Filter, environment.known_filters),
        ("test", nodes.Test, frozenset(environment.tests)),
    ):
        for node in tree.find_all(node_type):
            if node.name not in known:
                meant = nearest(node.name, known)
                hint = f"; did you mean {meant}?" if meant else ""
                yield Problem("", f"there is no {kind} {node.name!r}{hint}", meant, node.lineno)


def _private_attributes(tree: nodes.Template) -> Iterator[Problem]:
    for node in tree.find_all(nodes.Getattr):
        if node.attr.startswith("_"):
            yield Problem("", f"{node.attr!r} is outside of what templates may use", line=node.lineno)


def _unknown_variables(
    tree: nodes.Template, known_fields: Collection[str] | None, custom_keys: Collection[str] | None
) -> Iterator[Problem]:
    known = set(known_fields) if known_fields is not None else set(FIELDS)
    known |= {name for name in known_names(custom_keys) if name.startswith(CUSTOM_PREFIX)}
    any_custom = custom_keys is None and not any(name.startswith(CUSTOM_PREFIX) for name in known)
    undeclared = meta.find_undeclared_variables(tree)
    seen: set[str] = set()
    for node in tree.find_all(nodes.Name):
        name = node.name
        if name in seen or name not in undeclared or name in known or (any_custom and name.startswith(CUSTOM_PREFIX)):
            continue
        seen.add(name)
        meant = nearest(name, known)
        hint = f"; did you mean {meant}?" if meant else ""
        yield Problem("", f"there is no variable {name!r}{hint}", meant, node.lineno)


def _render(environment: MessageEnvironment, source: str, context: Mapping[str, Any]) -> Rendered:
    template = _compiled(environment is _HTML, source)
    if template is None:
        return Rendered(source)
    budget = start()
    pieces: list[str] = []
    size = 0
    try:
        for piece in template.root_render_func(template.new_context(_variables(context))):
            size += len(piece) if piece.isascii() else len(piece.encode("utf-8", "replace"))
            if size > MAX_OUTPUT:
                raise TemplateBoundError(f"the output is larger than {MAX_OUTPUT:,} bytes")
            pieces.append(piece)
    except TemplateError as error:
        raise type(error)(error.reason, error.line or _line(template, error.__traceback__)) from None
    except SecurityError as error:
        raise TemplateSecurityError(str(error), _line(template, error.__traceback__)) from None
    except (RecursionError, MemoryError) as error:
        raise TemplateBoundError("a macro, a loop or a value is nested too deeply", _line(template, error)) from None
    except _RENDER_FAILURES as error:
        raise TemplateRenderError(_sentence(storable(str(error)))[:500], _line(template, error.__traceback__)) from None
    return Rendered(storable("".join(pieces)), list(budget.fallbacks_used))


def _compiled(html: bool, source: str) -> Template | None:
    """The compiled template, or None for text without any markup, which is rendered as it stands."""
    _check_type(source)
    # A large template's code can be megabytes, so few of those are kept.
    return _compiled_small(html, source) if len(source) <= _SMALL else _compiled_large(html, source)


def _compile(html: bool, source: str) -> Template | None:
    _check_source(source)
    if not _MARKUP.search(source):
        return None
    with _parsing():
        return (_HTML if html else _TEXT).from_string(source)


_compiled_small = lru_cache(maxsize=512)(_compile)
_compiled_large = lru_cache(maxsize=16)(_compile)


@contextmanager
def _parsing() -> Iterator[None]:
    """Parsing and compiling, with every failure as a `TemplateError`."""
    try:
        yield
    except jinja2.TemplateSyntaxError as error:
        raise TemplateSyntaxError(_sentence(error.message), error.lineno) from None
    except (RecursionError, MemoryError, SyntaxError):
        # Python's own compiler has limits too, on blocks within blocks among others.
        raise TemplateBoundError("the template is nested too deeply") from None
    except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise TemplateSyntaxError(_sentence(str(error))[:500]) from None


def _check_type(source: object) -> None:
    if not isinstance(source, str):
        raise TemplateSyntaxError(f"a template is text, found {preview(source)}")


def _check_source(source: str) -> None:
    size = len(source) if source.isascii() else len(source.encode("utf-8", "replace"))
    if size > MAX_SOURCE:
        raise TemplateBoundError(f"the template has {size:,} bytes; at most {MAX_SOURCE:,} are allowed")
    if has_unstorable(source):
        at = next(index for index, character in enumerate(source) if has_unstorable(character))
        raise TemplateSyntaxError(
            f"the template holds U+{ord(source[at]):04X}, which is no character", source.count("\n", 0, at) + 1
        )


def _variables(context: Mapping[str, Any]) -> dict[str, Any]:
    """The context as the template sees it: without what has no value, and with times as times."""
    variables: dict[str, Any] = {}
    for name, value in context.items():
        if value is None or not isinstance(name, str):
            continue
        if isinstance(value, str):
            if name in FALLBACKS and (not value or value.isspace()):
                continue
            if name in DATETIME_FIELDS:
                variables[name] = moment(value) or value
                continue
        variables[name] = value
    return variables


def _line(template: Template, traceback: TracebackType | BaseException | None) -> int | None:
    """The template's line in which an error arose."""
    step = traceback.__traceback__ if isinstance(traceback, BaseException) else traceback
    line = None
    while step is not None:
        if step.tb_frame.f_code.co_filename == _FILENAME:
            line = template.get_corresponding_lineno(step.tb_lineno)
        step = step.tb_next
    return line


def _sentence(message: str | None) -> str:
    return (message or "the template is not well formed").rstrip(".")
