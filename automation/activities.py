"""The activities of action types: one each, under the name that the type gives; and that of bulk tests.

They follow from the registry, so a new action type brings its activity with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from automation import bulk_testing, system
from automation.actions import invocation
from automation.actions.base import ActionType
from automation.actions.calls import ActionCall
from automation.actions.registry import registry
from automation.durable import activity
from automation.services import bulk_tests

Activity = Callable[[ActionCall], dict[str, Any]]


def activity_of(kind: ActionType) -> Activity:
    """The activity that runs actions of this type; a transactional type's takes effect exactly once."""

    def run(call: ActionCall) -> dict[str, Any]:
        return kind.run(invocation.load(call.action_id, activity.info()))

    run.__name__ = run.__qualname__ = kind.activity
    run.__doc__ = kind.description
    defined = activity.defn(name=kind.activity)(run)
    return activity.transactional_activity(defined) if kind.transactional else defined


def activities_of(kinds: Iterable[ActionType]) -> list[Activity]:
    return [activity_of(kind) for kind in kinds]


_of_actions = activities_of(registry.types())
_by_name = {found.__name__: found for found in _of_actions}


@activity.defn(name=bulk_testing.ACTIVITY)
def try_workflows(bulk_test_id: str, first: int, last: int) -> int:
    """Tries some pairs of a bulk test, and says how many it tried. Sends nothing."""
    return bulk_tests.run_chunk(bulk_test_id, first, last)


ACTIVITIES: list[Callable[..., Any]] = [*_of_actions, try_workflows, *system.ACTIVITIES]

execute_email_action = _by_name["execute_email_action"]
execute_sms_action = _by_name["execute_sms_action"]
execute_webhook_action = _by_name["execute_webhook_action"]
execute_update_booking_action = _by_name["execute_update_booking_action"]
