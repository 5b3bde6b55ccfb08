"""Starts a Python workflow, with its input made from the booking.

`config` is `{"workflow": name, "input": {parameter: value}, "id": template, "queue": name}`. A text in the input is a
template, and is read as the parameter's type; `{"expr": "…"}` is an expression over the same context; anything else is
taken as it is, with the texts inside it rendered. `id` (optional) is the execution's own id, of which one can be open
at a time: an open one is linked instead of a second one being started.

The start, and the record that this step made it, commit together: it takes place exactly once. What is started knows
how many workflows have led to it; the chain ends at five.

Retry schedule: up to 5 attempts, 1 s after the first, then doubling, for a database that is away. Input that does not
fit fails the action at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings

from automation import secrets
from automation.actions import launches
from automation.actions.base import ActionProblem, ActionType, ConfigField, Preview, TemplateCheck
from automation.actions.config import ActionConfig
from automation.actions.invocation import Invocation
from automation.actions.launches import Launch
from automation.actions.nested import check_nested, render_nested
from automation.actions.report import Report
from automation.causes import MAX_DEPTH
from automation.durable import payloads
from automation.durable.common import RetryPolicy
from automation.errors import Conflict, WeirError
from automation.models import User
from automation.rules import templating
from automation.rules.expressions import ExpressionError, compile_expression
from automation.rules.values import Unevaluable

SETTINGS = ("workflow", "input", "id", "queue")
MAX_ID = 255


class RunWorkflow(ActionType):
    name = "run_workflow"
    label = "Run workflow"
    description = "Starts a workflow written in Python, with input made from the booking."
    activity = "execute_run_workflow_action"
    retry_policy = RetryPolicy(
        initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1), maximum_attempts=5
    )
    timeout = timedelta(seconds=30)
    fields = (
        ConfigField("config.workflow", "Workflow", "text", required=True, help="As `definitions/` names it."),
        ConfigField(
            "config.input",
            "Input",
            "json",
            help='By parameter: templates, {"expr": "…"} or plain values, checked against what the workflow takes.',
        ),
        ConfigField("config.id", "Its id", "template", help="At most one open execution has it."),
        ConfigField("config.queue", "Queue", "text", help="That of the workflow's domain, where none is named."),
    )
    transactional = True

    def act(self, invocation: Invocation, report: Report) -> dict[str, Any]:
        if invocation.depth + 1 >= MAX_DEPTH:
            return report.skipped(
                f"Nothing was started: {invocation.depth + 1} workflows have led to this one, and no more may."
            )
        wanted = invocation.action.config
        if problems := _shape_problems(wanted):
            raise report.failure(" ".join(problem.message for problem in problems), "BadConfiguration")
        name = wanted["workflow"]
        report.rendered = {"workflow": name}
        if problem := self.objection(invocation.booking.organizer, invocation.action):
            raise report.failure(problem.message, "NotPermitted")
        try:
            given = _given(wanted.get("input", {}), invocation.context)
            report.rendered["input"] = secrets.masked({**given.texts, **given.values})
            started = launches.launcher().launch(
                Launch(
                    name,
                    given.texts,
                    given.values,
                    business_id=_id(wanted, invocation.context),
                    queue=wanted.get("queue", ""),
                    booking_id=invocation.booking.id,
                    organizer_id=invocation.booking.organizer_id,
                    depth=invocation.depth + 1,
                )
            )
        except templating.TemplateError:
            raise
        except Unevaluable as error:
            raise report.failure(str(error), "BadInput") from error
        except Conflict as error:
            raise report.failure(error.message, "Conflict", retryable=True) from error
        except (WeirError, payloads.PayloadError) as error:
            fields = error.fields if isinstance(error, WeirError) else {}
            details = " ".join(f"{field}: {' '.join(texts)}." for field, texts in fields.items())
            raise report.failure(f"{error}. {details}".strip(), "BadInput") from error
        report.rendered |= {
            "execution_id": str(started.execution),
            "url": f"{settings.PUBLIC_URL}/executions/{started.execution}/",
        }
        if not started.new:
            report.notes.append("An execution with this id was under way already; no second one was started.")
        return report.result()

    def objection(self, organizer: User, config: ActionConfig) -> ActionProblem | None:
        name = config.config.get("workflow") if isinstance(config.config, dict) else None
        if not isinstance(name, str) or launches.may_start(organizer, name):
            return None
        return ActionProblem("config.workflow", launches.refusal(name))

    def check(self, config: ActionConfig, templates: TemplateCheck) -> list[ActionProblem]:
        wanted = config.config
        if problems := _shape_problems(wanted):
            return problems
        sorted_out = _Sorted.of(wanted.get("input", {}))
        problems = check_nested("config.input", {**sorted_out.templates, **sorted_out.plain}, templates)
        for name, source in sorted_out.expressions.items():
            try:
                compile_expression(source)
            except ExpressionError as error:
                problems.append(ActionProblem(f"config.input.{name}.expr", str(error)))
        if wanted.get("id"):
            problems += templates("config.id", wanted["id"])
        literal = {name: text for name, text in sorted_out.templates.items() if not _has_markup(text)}
        pending = [name for name in (*sorted_out.templates, *sorted_out.expressions) if name not in literal]
        found = launches.launcher().problems(wanted["workflow"], literal, sorted_out.plain, pending)
        for name, texts in found.items():
            path = f"config.input.{name}" if name else "config.workflow"
            problems += [ActionProblem(path, text) for text in texts]
        return problems

    def show(self, context: Mapping[str, Any], config: ActionConfig, preview: Preview) -> None:
        wanted = config.config
        if _shape_problems(wanted):
            return
        try:
            given = _given(wanted.get("input", {}), context, preview.fallbacks)
        except (Unevaluable, ExpressionError) as error:
            preview.problems.append(ActionProblem("config.input", str(error)))
            return
        shown = {**given.texts, **given.values}
        preview.rendered |= {"workflow": wanted["workflow"], "input": secrets.masked(shown)}
        for name, texts in launches.launcher().problems(wanted["workflow"], given.texts, given.values, ()).items():
            problem = ActionProblem(f"config.input.{name}" if name else "config.workflow", " ".join(texts))
            if problem not in preview.problems:
                preview.problems.append(problem)
        preview.notes.append("Started after the record of this step has been written.")


@dataclass
class _Sorted:
    """The input by how its values come about."""

    templates: dict[str, str] = field(default_factory=dict)
    expressions: dict[str, str] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, wanted: Mapping[str, Any]) -> _Sorted:
        found = cls()
        for name, value in wanted.items():
            if isinstance(value, str):
                found.templates[name] = value
            elif isinstance(value, dict) and set(value) == {"expr"} and isinstance(value["expr"], str):
                found.expressions[name] = value["expr"]
            else:
                found.plain[name] = value
        return found


@dataclass(frozen=True)
class _Given:
    texts: dict[str, str]
    values: dict[str, Any]


def _given(wanted: Mapping[str, Any], context: Mapping[str, Any], fallbacks: list[str] | None = None) -> _Given:
    """The input's values. Raises TemplateError, ExpressionError and Unevaluable."""
    sorted_out = _Sorted.of(wanted)
    values = render_nested(sorted_out.plain, context, fallbacks)
    for name, source in sorted_out.expressions.items():
        try:
            found = compile_expression(source)(context)
        except ExpressionError as error:
            raise Unevaluable(f"{name}: {error}") from error
        values[name] = payloads.decode(payloads.encode(found, name))  # as JSON has it: times become text
    return _Given(render_nested(sorted_out.templates, context, fallbacks), values)


def _id(wanted: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    return templating.render_text(wanted.get("id", ""), context).text.strip()[:MAX_ID]


def _shape_problems(wanted: Any) -> list[ActionProblem]:
    if not isinstance(wanted, dict) or not wanted.get("workflow"):
        return [ActionProblem("config.workflow", "Name the workflow to start.")]
    problems = [
        ActionProblem(f"config.{name}", f"{name!r} is no setting of this type; there are: {', '.join(SETTINGS)}.")
        for name in wanted
        if name not in SETTINGS
    ]
    for name in ("workflow", "id", "queue"):
        if not isinstance(wanted.get(name, ""), str):
            problems.append(ActionProblem(f"config.{name}", "Expected text."))
    if not isinstance(wanted.get("input", {}), dict):
        problems.append(ActionProblem("config.input", "Expected an object of values by parameter."))
    return problems


def _has_markup(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text
