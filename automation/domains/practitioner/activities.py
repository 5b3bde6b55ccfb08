"""What the workflows of practitioners do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from automation import clock
from automation.domains.practitioner import parts
from automation.domains.practitioner.models import (
    BackgroundCheck,
    CheckStatus,
    OnboardingPart,
    Part,
    PartStatus,
    Practitioner,
    PractitionerStatus,
)
from automation.durable import activity
from automation.durable.activity import transactional_activity
from automation.durable.exceptions import ApplicationError

Info = dict[str, Any]


@activity.defn(name="begin_practitioner_part")
@transactional_activity
def begin_practitioner_part(practitioner_id: int, part: str) -> Info:
    """Note that a part is waited for, request what it needs, and tell whom to write to: `email`, `name`, `part`.

    Raises ApplicationError of type PractitionerNotFound, not to be retried.
    """
    practitioner = _practitioner(practitioner_id)
    OnboardingPart.objects.update_or_create(
        practitioner=practitioner,
        part=Part(part),
        defaults={
            "status": PartStatus.WAITING,
            "source": "",
            "reason": "",
            "began_at": clock.now(),
            "ended_at": None,
        },
    )
    if part == Part.BACKGROUND_CHECK and not parts.look(practitioner, Part.BACKGROUND_CHECK).done:
        # Asking again after a failed check asks for another one; an open one is waited for.
        BackgroundCheck.objects.get_or_create(practitioner=practitioner, status=CheckStatus.REQUESTED)
    user = practitioner.user
    return {"email": user.email, "name": user.get_full_name() or user.email, "part": part}


@activity.defn(name="check_practitioner_part")
def check_practitioner_part(practitioner_id: int, part: str) -> Info:
    """Whether a part is done: `done`, `failed` with its `reason`, or what is `missing`."""
    return dataclasses.asdict(parts.look(_practitioner(practitioner_id), Part(part)))


@activity.defn(name="end_practitioner_part")
@transactional_activity
def end_practitioner_part(practitioner_id: int, part: str, outcome: str, source: str, reason: str = "") -> Info:
    """Note how a part ended: `outcome` is "done", "stalled" or "failed". An answer to the background check that came as
    a signal is noted as the check's."""
    practitioner = _practitioner(practitioner_id)
    now = clock.now()
    OnboardingPart.objects.filter(practitioner=practitioner, part=part).update(
        status=PartStatus(outcome), source=source, reason=reason, ended_at=now
    )
    if part == Part.BACKGROUND_CHECK and source == "signal":
        status = CheckStatus.CLEAR if outcome == PartStatus.DONE else CheckStatus.FAILED
        practitioner.background_checks.filter(status=CheckStatus.REQUESTED).update(
            status=status, reason=reason, completed_at=now
        )
    return {"part": part, "status": outcome}


@activity.defn(name="set_practitioner_status")
@transactional_activity
def set_practitioner_status(practitioner_id: int, status: str, reason: str = "") -> Info:
    """Note where a practitioner stands: `practitioner_id`, `status`. Raises PractitionerNotFound."""
    practitioner = _practitioner(practitioner_id)
    practitioner.status, practitioner.status_reason = PractitionerStatus(status), reason
    if status == PractitionerStatus.ONBOARDING:
        practitioner.onboarding_started_at = clock.now()
    if status == PractitionerStatus.ACTIVE:
        practitioner.activated_at = clock.now()
    practitioner.save(update_fields=["status", "status_reason", "onboarding_started_at", "activated_at"])
    return {"practitioner_id": practitioner_id, "status": status}


def _practitioner(practitioner_id: int) -> Practitioner:
    found = Practitioner.objects.select_related("user").filter(pk=practitioner_id).first()
    if found is None:
        raise ApplicationError(
            f"there is no practitioner {practitioner_id}: expected the id of a user with a practitioner's profile",
            type="PractitionerNotFound",
            non_retryable=True,
        )
    return found


ACTIVITIES: list[Callable[..., Any]] = [
    begin_practitioner_part,
    check_practitioner_part,
    end_practitioner_part,
    set_practitioner_status,
]
