"""Waiting for a practitioner's parts: what the four workflows have in common.

A part is looked at, then waited for: the wait ends after its interval, or at once by the part's signal. Who signals
says that the part is done (or, of a background check, that it failed); that counts, whatever the rows say.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from automation.domains.practitioner import activities
from automation.domains.practitioner.models import Part
from automation.durable import workflow
from automation.durable.base import BaseWorkflow
from automation.durable.policies import INTEGRATION_RETRY_POLICY

LIMIT = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)

COMPLETED, STALLED, REJECTED = "completed", "stalled", "rejected"


@dataclass(frozen=True)
class Patience:
    """How often a part is waited for, and how long each time."""

    times: int
    interval: dt.timedelta

    @property
    def days(self) -> int:
        return (self.times * self.interval).days


PATIENCE = {
    Part.PROFILE: Patience(14, DAY),
    Part.DOCUMENTS: Patience(14, DAY),
    Part.BACKGROUND_CHECK: Patience(15, 2 * DAY),
    Part.TRAINING: Patience(10, 3 * DAY),
    Part.SUBSCRIPTION: Patience(7, DAY),
    Part.SERVICES: Patience(7, DAY),
}


@dataclass(frozen=True)
class Said:
    """What a signal said of a part."""

    passed: bool = True
    reason: str = ""


@dataclass(frozen=True)
class Ending:
    """How a part, or several, ended: `status` is completed, stalled or rejected; `part` is the one that ended it."""

    status: str
    part: str = ""
    reason: str = ""


class PartsWorkflow(BaseWorkflow):
    """A workflow that waits for parts. `parts` are those of this class, in order."""

    parts: Sequence[Part] = ()

    def __init__(self) -> None:
        self.practitioner_id = 0
        self.said: dict[str, Said] = {}
        self.done: list[str] = []
        self.current = ""
        self.attempt = 0
        self.missing: list[str] = []
        self.ending: Ending | None = None

    async def go_through(self, practitioner_id: int, parts: Sequence[Part]) -> Ending:
        """Wait for each part; the first that does not get done ends it."""
        self.practitioner_id = practitioner_id
        for part in parts:
            ending = await self._wait_for(part)
            if ending.status != COMPLETED:
                return ending
        return Ending(COMPLETED)

    async def _wait_for(self, part: Part) -> Ending:
        self.current, self.attempt, self.missing = str(part), 0, []
        patience = PATIENCE[part]
        letters: list[workflow.ActivityHandle] = []
        contact = await self._do(activities.begin_practitioner_part, self.practitioner_id, str(part))
        while True:
            if part in self.said:
                said = self.said[part]
                outcome, source, reason = ("done" if said.passed else "failed"), "signal", said.reason
                break
            found = await self._do(activities.check_practitioner_part, self.practitioner_id, str(part))
            self.missing = found["missing"]
            source = "check"
            if found["done"] or found["failed"]:
                outcome, reason = ("done" if found["done"] else "failed"), found["reason"]
                break
            if part in self.said:  # it came while we looked
                continue
            if self.attempt == patience.times:
                outcome = "stalled"
                reason = f"{part.label} not complete after {patience.days} days; missing: {', '.join(self.missing)}"
                break
            if self.attempt in (0, patience.times // 2):
                letters += self._remind(part, contact)
            self.attempt += 1
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: part in self.said, timeout=patience.interval)
        for letter in letters:
            letter.cancel()  # one that could not go out yet is not needed any more
        if outcome == "failed" and not reason:
            reason = f"{part.label} failed"
        await self._do(activities.end_practitioner_part, self.practitioner_id, str(part), outcome, source, reason)
        if outcome == "done":
            self.done.append(str(part))
            self.missing = []
            return Ending(COMPLETED)
        return Ending(STALLED if outcome == "stalled" else REJECTED, str(part), reason)

    def _remind(self, part: Part, contact: dict[str, Any]) -> list[workflow.ActivityHandle]:
        """Write what is missing, beside the wait, which a signal ends at once, also while no mail goes out. An
        onboarding does not fail for want of a mail."""
        if part == Part.BACKGROUND_CHECK:
            return []  # the practitioner waits for it as we do
        lines = "\n".join(f"- {what}" for what in self.missing)
        payload = {
            "to": contact["email"],
            "subject": f"Your onboarding: {part.label.lower()}",
            "body": f"Hello {contact['name']},\n\nto go on with your onboarding we still need:\n\n{lines}\n",
        }
        letter = workflow.start_activity(
            "send_email_activity", payload, start_to_close_timeout=LIMIT, retry_policy=INTEGRATION_RETRY_POLICY
        )
        letter.add_done_callback(self._reminded)
        return [letter]

    def _reminded(self, letter: workflow.ActivityHandle) -> None:
        if not letter.cancelled() and (error := letter.exception()) is not None:
            self.logger.warning("no reminder to practitioner %s: %s", self.practitioner_id, error.__cause__ or error)

    async def _do(self, what: Any, *args: Any) -> Any:
        return await self.execute_activity(what, *args, start_to_close_timeout=LIMIT)

    def result(self, ending: Ending) -> dict[str, Any]:
        """`practitioner_id`, `status`, `part` and `reason` where it did not complete, and the parts that are `done`."""
        self.ending, self.current = ending, ""
        found: dict[str, Any] = {
            "practitioner_id": self.practitioner_id,
            "status": ending.status,
            "done": list(self.done),
        }
        return found if ending.status == COMPLETED else {**found, "part": ending.part, "reason": ending.reason}

    # -- what comes from outside ---------------------------------------------------------------------------------------

    def say(self, part: str, said: Said) -> None:
        """The first word on a part counts."""
        self.said.setdefault(part, said)

    @workflow.signal
    def profile_completed(self) -> None:
        self.say(Part.PROFILE, Said())

    @workflow.signal
    def documents_verified(self) -> None:
        self.say(Part.DOCUMENTS, Said())

    @workflow.signal
    def background_check_completed(self, passed: bool = True, reason: str = "") -> None:
        """Failed is final: the practitioner is rejected."""
        self.say(Part.BACKGROUND_CHECK, Said(passed, reason))

    @workflow.signal
    def training_completed(self) -> None:
        self.say(Part.TRAINING, Said())

    @workflow.signal
    def subscription_activated(self) -> None:
        self.say(Part.SUBSCRIPTION, Said())

    @workflow.signal
    def services_configured(self) -> None:
        self.say(Part.SERVICES, Said())

    @workflow.query
    def progress(self) -> dict[str, Any]:
        """`status` (running, completed, stalled, rejected), `current` part with its `attempt` `of` how many and what is
        `missing`, the parts `done` and `remaining`, `percent`, and the `reason` of an ending before the end."""
        remaining = [str(part) for part in self.parts if str(part) not in self.done]
        return {
            "practitioner_id": self.practitioner_id,
            "status": self.ending.status if self.ending else "running",
            "current": self.current,
            "attempt": self.attempt,
            "of": PATIENCE[Part(self.current)].times if self.current else 0,
            "missing": list(self.missing),
            "done": list(self.done),
            "remaining": remaining,
            "percent": round(100 * (len(self.parts) - len(remaining)) / max(1, len(self.parts))),
            "reason": self.ending.reason if self.ending else "",
        }
