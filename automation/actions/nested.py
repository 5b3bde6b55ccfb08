"""Templates inside JSON: every text in it, at any depth, is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automation.actions.base import ActionProblem, TemplateCheck
from automation.rules import templating
from automation.rules.values import has_unstorable

MAX_DEPTH = 20


def render_nested(value: Any, context: Mapping[str, Any], fallbacks: list[str] | None = None) -> Any:
    """`value` with its texts rendered; keys, numbers and the like stay. Raises TemplateError, naming the place.

    The names of the variables that had no value are added to `fallbacks`.
    """
    return _render(value, context, fallbacks if fallbacks is not None else [], "", 0)


def _render(value: Any, context: Mapping[str, Any], fallbacks: list[str], path: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise templating.TemplateBoundError(f"{path}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        try:
            rendered = templating.render_text(value, context)
        except templating.TemplateError as error:
            raise type(error)(f"{path}: {error.reason}" if path else error.reason, error.line) from error
        fallbacks.extend(name for name in rendered.fallbacks_used if name not in fallbacks)
        return rendered.text
    if isinstance(value, dict):
        return {
            key: _render(item, context, fallbacks, f"{path}.{key}" if path else str(key), depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_render(item, context, fallbacks, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    return value


def check_nested(path: str, value: Any, templates: TemplateCheck) -> list[ActionProblem]:
    """What is wrong with a JSON object of templates."""
    if not isinstance(value, dict):
        return [ActionProblem(path, f"Expected a JSON object, found {type(value).__name__}.")]
    return _check(path, value, templates, 0)


def _check(path: str, value: Any, templates: TemplateCheck, depth: int) -> list[ActionProblem]:
    if depth > MAX_DEPTH:
        return [ActionProblem(path[:200], f"Nested deeper than {MAX_DEPTH} levels.")]
    if isinstance(value, str):
        return templates(path, value)
    problems: list[ActionProblem] = []
    if isinstance(value, dict):
        for key, item in value.items():
            if has_unstorable(str(key)):
                problems.append(ActionProblem(path, "A key holds a NUL or a lone surrogate."))
            problems += _check(f"{path}.{key}", item, templates, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            problems += _check(f"{path}[{index}]", item, templates, depth + 1)
    return problems
