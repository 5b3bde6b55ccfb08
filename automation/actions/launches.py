"""Starting Python workflows from an action: a port, since what can be started is known one layer up.

`automation.services.launches` puts its launcher here when the app is ready.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings

from automation.models import User


@dataclass(frozen=True)
class Launch:
    """`texts` are values as somebody would type them, `values` as JSON has them: see `services.parameters`.

    business_id: one open execution each. depth: of the execution to be.
    """

    workflow: str
    texts: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    business_id: str = ""
    queue: str = ""
    booking_id: UUID | None = None
    organizer_id: int | None = None
    depth: int = 0


@dataclass(frozen=True)
class Started:
    """`new` is false where an open execution had the business id already."""

    execution: UUID
    new: bool


class Launcher(Protocol):
    def problems(
        self, workflow: str, texts: Mapping[str, str], values: Mapping[str, Any], pending: Sequence[str]
    ) -> dict[str, list[str]]:
        """What is wrong with a workflow's name (under '') and its input, by parameter. `pending` are parameters whose
        values are not known yet."""

    def launch(self, launch: Launch) -> Started:
        """Start it, in the caller's transaction. Raises WeirError."""


PERMISSION = "automation.add_workflowexecution"


def may_start_all(user: User) -> bool:
    """Staff and users with PERMISSION may start every workflow: what code defines belongs to no organizer, and can do
    whatever its activities do."""
    return user.is_staff or user.has_perm(PERMISSION)


def may_start(user: User, workflow: str) -> bool:
    """Whether what this organizer builds may start the workflow: those that ORGANIZER_WORKFLOWS names, all may."""
    listed = settings.ORGANIZER_WORKFLOWS
    return workflow in listed or "*" in listed or may_start_all(user)


def refusal(workflow: str) -> str:
    return (
        f"Only staff, and users with the permission {PERMISSION}, may have {workflow!r} started; "
        "ORGANIZER_WORKFLOWS can name workflows for all."
    )


_launchers: list[Launcher] = []


def use(launcher: Launcher) -> None:
    _launchers[:] = [launcher]


def launcher() -> Launcher:
    return _launchers[0]
