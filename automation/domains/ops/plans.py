"""A plan: steps that are run one after the other, and undone in reverse when one fails. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from automation.outbound import OutboundRefused, parse_target


@dataclass(frozen=True)
class PlanStep:
    """One step. Commands are a program and its arguments (no shell: say ["sh", "-c", "…"] for one).

    check: exits with 0 where the step is done already, which is then skipped, and not undone.
    undo: takes back what `run` did; it may run twice. undo_partial: also when `run` itself failed half-way.
    health: a command that exits with 0, or health_url, which answers below 400, once what was done works; tried
    `health_attempts` times, `health_interval_seconds` apart.
    timeout_seconds: for each command. retries: how often `run` is run again after it failed.
    target: the host, for runners that reach others; the plan's by default.
    """

    name: str
    run: list[str]
    undo: list[str] = field(default_factory=list)
    check: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    health_url: str = ""
    health_attempts: int = 10
    health_interval_seconds: float = 5.0
    timeout_seconds: float = 300.0
    retries: int = 0
    undo_partial: bool = False
    target: str = ""
    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What to do. runner: "local", "ssh", or another that OPS_RUNNERS allows. health_url: of the whole, at the end."""

    name: str
    steps: list[PlanStep]
    runner: str = "local"
    target: str = ""
    health_url: str = ""
    health_attempts: int = 10
    health_interval_seconds: float = 5.0


def problems(plan: Plan, *, checks_required: bool = False) -> list[str]:
    """What is wrong with a plan, each with its place; nothing of it is run then."""
    found = [] if plan.name.strip() else ["name: it is empty"]
    if not plan.steps:
        found.append("steps: there are none")
    for name, count in Counter(step.name for step in plan.steps).items():
        if count > 1:
            found.append(f"steps: {count} are named {name!r}; each needs a name of its own")
    for number, step in enumerate(plan.steps):
        found += [f"steps[{number}].{problem}" for problem in _of_step(step, checks_required)]
    return [*found, *_of_health("", plan.health_url, plan.health_attempts, plan.health_interval_seconds)]


def _of_step(step: PlanStep, checks_required: bool) -> list[str]:
    found = [] if step.name.strip() else ["name: it is empty"]
    if not step.run:
        found.append("run: it is empty; expected a program and its arguments")
    for name in ("run", "undo", "check", "health"):
        found += [f"{name}: {part!r} is no text without NUL" for part in getattr(step, name) if _is_bad(part)]
    if checks_required and not step.check:
        found.append("check: a provisioning needs a command that tells whether the step is done already")
    if step.timeout_seconds <= 0:
        found.append(f"timeout_seconds: it must be above zero, not {step.timeout_seconds:g}")
    if step.retries < 0:
        found.append(f"retries: it must be 0 or more, not {step.retries}")
    return [*found, *_of_health("", step.health_url, step.health_attempts, step.health_interval_seconds)]


def _of_health(place: str, url: str, attempts: int, interval: float) -> list[str]:
    found = []
    if url:
        try:
            parse_target(url)
        except OutboundRefused as error:
            found.append(f"{place}health_url: {error.message}")
    if attempts < 1:
        found.append(f"{place}health_attempts: it must be at least 1, not {attempts}")
    if interval < 0:
        found.append(f"{place}health_interval_seconds: it must be 0 or more, not {interval:g}")
    return found


def _is_bad(part: object) -> bool:
    return not isinstance(part, str) or "\0" in part


def listed(problems: Sequence[str]) -> str:
    return "; ".join(problems)
