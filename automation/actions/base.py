"""The one contract of action types.

A new type is one module with a subclass of `ActionType`, and one line in `catalog.py` (or one call of
`registry.register` in another app). Its activity, its validation, its preview, the API's list and the planner follow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from automation import secrets
from automation.actions import deliveries
from automation.actions.config import ActionConfig
from automation.actions.invocation import Invocation
from automation.actions.report import Report
from automation.durable.common import RetryPolicy
from automation.models import User
from automation.rules import conditions, templating
from automation.rules.validation import validate_conditions


@dataclass(frozen=True)
class ConfigField:
    """One field of `WorkflowAction` that a type uses. `kind`: text, template, html, email, phone, url, json, secret,
    choice. `choices` maps values to labels; `required` is that of an ordinary configuration (`validate` knows all)."""

    name: str
    label: str
    kind: str
    required: bool = False
    help: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ActionProblem:
    """`path` names the field (`webhook_data.room`, `conditions[0].rules[1].field`); `line` is a template's.

    severity: an `error` stops the action from working; a `warning` may be meant.
    """

    path: str
    message: str
    suggestion: str = ""
    line: int | None = None
    severity: str = "error"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Preview:
    """What would happen. `fallbacks` names the variables that had no value; nothing was sent or changed.

    rendered, recipients and notes are as in `report.Report`, with addresses for recipients.
    """

    rendered: dict[str, Any] = field(default_factory=dict)
    recipients: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[ActionProblem] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def used(self, rendered: templating.Rendered) -> str:
        """Takes the fallbacks of a rendered template, and gives its text."""
        self.fallbacks.extend(name for name in rendered.fallbacks_used if name not in self.fallbacks)
        return rendered.text


class ActionType(ABC):
    """One kind of action. Stateless: there is one instance of each type per process.

    name: the value of `WorkflowAction.action_type`. activity: the name of the activity, and so of the Celery task.
    retry_policy, timeout: of one run; `timeout` bounds one attempt from start to close.
    transactional: whether `act` only touches the database and is to take effect exactly once, in one transaction
    with the record of its outcome. Such an action makes no call to the outside world, and others hold no transaction.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    description: ClassVar[str]
    activity: ClassVar[str]
    retry_policy: ClassVar[RetryPolicy]
    timeout: ClassVar[timedelta]
    fields: ClassVar[tuple[ConfigField, ...]]
    transactional: ClassVar[bool] = False

    @property
    def step_policy(self) -> RetryPolicy:
        """What the engine goes by. A type that counts its attempts itself gives the engine more of them."""
        return self.retry_policy

    def check_secret(self, text: str) -> str:
        """The text as it is stored, encrypted, in the action's secret. Raises InvalidInput."""
        return secrets.check_webhook_secret(text)

    def objection(self, organizer: User, config: ActionConfig) -> ActionProblem | None:
        """Why this organizer may not have such an action, whatever else is right with it."""
        return None

    def run(self, invocation: Invocation) -> dict[str, Any]:
        """One attempt. Returns a `Report`'s result; raises `ApplicationError` with the same shape as its details."""
        report = Report()
        if reason := invocation.no_longer_meant():
            deliveries.withdraw(invocation, reason)
            return report.skipped(reason)
        evaluation = conditions.evaluate(invocation.action.conditions, invocation.context)
        report.conditions = evaluation.trace
        if not evaluation.result:
            return report.result("skipped_conditions")
        try:
            return self.act(invocation, report)
        except templating.TemplateError as error:
            raise report.failure(str(error), "TemplateError") from error

    @abstractmethod
    def act(self, invocation: Invocation, report: Report) -> dict[str, Any]:
        """Does it: the booking still stands and the conditions hold. A TemplateError may simply pass."""

    @abstractmethod
    def check(self, config: ActionConfig, templates: TemplateCheck) -> list[ActionProblem]:
        """What is wrong with the fields of this type. Looks nothing up and calls nobody."""

    @abstractmethod
    def show(self, context: Mapping[str, Any], config: ActionConfig, preview: Preview) -> None:
        """Fills the preview in. A TemplateError may simply pass."""

    def validate(self, config: ActionConfig, custom_keys: Collection[str] | None = None) -> list[ActionProblem]:
        """Everything wrong with the configuration, conditions included.

        `custom_keys` are the keys of the event types' questions; None accepts every `custom_{key}`.
        """
        wrong_kinds = config.wrong_kinds()
        if wrong_kinds:
            return [ActionProblem(name, f"Expected {kind}.") for name, kind in wrong_kinds.items()]
        problems = self.check(config, TemplateCheck(custom_keys))
        for found in validate_conditions(config.conditions, custom_keys):
            problems.append(ActionProblem(found.path, found.message, found.suggestion, found.line))
        return problems

    def preview(self, context: Mapping[str, Any], config: ActionConfig) -> Preview:
        """What `run` would send or change for this context; sends and changes nothing, and raises nothing."""
        preview = Preview(problems=self.validate(config))
        if config.wrong_kinds():
            return preview  # there is nothing to render
        try:
            self.show(context, config, preview)
        except templating.TemplateError as error:
            preview.problems.append(ActionProblem("", str(error), line=error.line))
        return preview

    def describe(self) -> dict[str, Any]:
        """The type for the API's list: name, label, description, fields, retry schedule, timeout in seconds."""
        policy = self.retry_policy
        maximum = policy.maximum_interval
        return {
            "name": self.name,
            "label": self.label,
            "description": self.description,
            "activity": self.activity,
            "fields": [asdict(item) for item in self.fields],
            "timeout_seconds": self.timeout.total_seconds(),
            "retry": {
                "initial_seconds": policy.initial_interval.total_seconds(),
                "factor": policy.backoff_coefficient,
                "maximum_seconds": maximum.total_seconds() if maximum else None,
                "attempts": policy.maximum_attempts,
            },
        }


@dataclass(frozen=True)
class TemplateCheck:
    """Checks templates for `ActionType.check`: a broken one is an error, an unknown variable a warning (it renders as
    the empty string)."""

    custom_keys: Collection[str] | None = None

    def __call__(self, path: str, source: str, *, html: bool = False) -> list[ActionProblem]:
        return [
            ActionProblem(
                path, found.message, found.suggestion, found.line, "warning" if _is_unknown(found.message) else "error"
            )
            for found in templating.check_template(source, custom_keys=self.custom_keys, html=html)
        ]


def _is_unknown(message: str) -> bool:
    return message.startswith("there is no variable")
