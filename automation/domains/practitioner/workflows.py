"""The workflows of practitioners: the whole onboarding, and its parts, which also run alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from automation.domains.practitioner import activities
from automation.domains.practitioner.models import Part, PractitionerStatus
from automation.domains.practitioner.waiting import COMPLETED, STALLED, Ending, PartsWorkflow, Said
from automation.durable import workflow
from automation.durable.base import monitored_workflow
from automation.durable.exceptions import FailureError, is_cancelled_exception

VERIFICATION = (Part.DOCUMENTS, Part.BACKGROUND_CHECK)
TRAINING = (Part.TRAINING,)
SUBSCRIPTION = (Part.SUBSCRIPTION,)


class _Portion(PartsWorkflow):
    """Some of the parts, alone or as a child. As a child it tells its parent where it is."""

    async def portion(self, practitioner_id: int, said: dict[str, Said] | None) -> dict[str, Any]:
        for part, word in (said or {}).items():
            self.say(part, word)
        return self.result(await self.go_through(practitioner_id, self.parts))

    async def _wait_for(self, part: Part) -> Ending:
        parent = workflow.info().parent
        if parent is not None:
            handle = workflow.get_external_workflow_handle(parent.workflow_id, run_id=parent.run_id)
            await handle.signal("part_began", args=[str(part), list(self.done)])
        return await super()._wait_for(part)


@workflow.defn
@monitored_workflow(name="VerificationWorkflow")
class VerificationWorkflow(_Portion):
    """Waits for a practitioner's documents (14 × 1 day), then for the background check (15 × 2 days)."""

    parts = VERIFICATION

    @workflow.run
    async def run(self, practitioner_id: int, said: dict[str, Said] | None = None) -> dict[str, Any]:
        """`status`: completed, stalled, or rejected when the background check failed; see `PartsWorkflow.result`."""
        return await self.portion(practitioner_id, said)


@workflow.defn
@monitored_workflow(name="TrainingWorkflow")
class TrainingWorkflow(_Portion):
    """Waits until a practitioner has completed every required training (10 × 3 days)."""

    parts = TRAINING

    @workflow.run
    async def run(self, practitioner_id: int, said: dict[str, Said] | None = None) -> dict[str, Any]:
        """`status`: completed or stalled; see `PartsWorkflow.result`."""
        return await self.portion(practitioner_id, said)


@workflow.defn
@monitored_workflow(name="PractitionerSubscriptionWorkflow")
class PractitionerSubscriptionWorkflow(_Portion):
    """Waits until a practitioner has an active subscription (7 × 1 day)."""

    parts = SUBSCRIPTION

    @workflow.run
    async def run(self, practitioner_id: int, said: dict[str, Said] | None = None) -> dict[str, Any]:
        """`status`: completed or stalled; see `PartsWorkflow.result`."""
        return await self.portion(practitioner_id, said)


@workflow.defn
@monitored_workflow(name="PractitionerOnboardingWorkflow")
class PractitionerOnboardingWorkflow(PartsWorkflow):
    """Onboards a practitioner: profile, verification, training, subscription, services. Each wait ends by its signal,
    or when the rows say so; one that ends by time leaves the practitioner stalled, and it can be started again."""

    parts = tuple(Part)

    def __init__(self) -> None:
        super().__init__()
        self._before: list[str] | None = None  # what was done when the child that runs was started

    @workflow.run
    async def run(self, practitioner_id: int) -> dict[str, Any]:
        """`status`: completed (the practitioner is active), stalled or rejected, with `part` and `reason`; and the
        parts that are `done`."""
        self.practitioner_id = practitioner_id
        await self._do(activities.set_practitioner_status, practitioner_id, str(PractitionerStatus.ONBOARDING))
        try:
            ending = await self._onboard(practitioner_id)
        except asyncio.CancelledError:
            ending = Ending(STALLED, self.current, "the onboarding was cancelled")
            await self._do(
                activities.set_practitioner_status, practitioner_id, str(PractitionerStatus.STALLED), ending.reason
            )
            self.result(ending)
            raise
        status = PractitionerStatus.ACTIVE if ending.status == COMPLETED else PractitionerStatus(ending.status)
        await self._do(activities.set_practitioner_status, practitioner_id, str(status), ending.reason)
        return self.result(ending)

    async def _onboard(self, practitioner_id: int) -> Ending:
        ending = await self.go_through(practitioner_id, [Part.PROFILE])
        for name, child, parts in (
            ("verification", VerificationWorkflow, VERIFICATION),
            ("training", TrainingWorkflow, TRAINING),
            ("subscription", PractitionerSubscriptionWorkflow, SUBSCRIPTION),
        ):
            if ending.status != COMPLETED:
                return ending
            ending = await self._through_child(name, child, parts)
        return ending if ending.status != COMPLETED else await self.go_through(practitioner_id, [Part.SERVICES])

    async def _through_child(self, name: str, child: type[_Portion], parts: Sequence[Part]) -> Ending:
        """Run a portion, handing on what is said of its parts meanwhile."""
        told = {str(part): self.said[part] for part in parts if part in self.said}
        self._before = list(self.done)
        handle = await workflow.start_child_workflow(
            child.run,  # type: ignore[attr-defined]  # every portion has one
            args=[self.practitioner_id, dict(told)],
            id=f"{workflow.info().workflow_id}-{name}",
        )

        def news() -> list[str]:
            return [str(part) for part in parts if part in self.said and part not in told]

        while not handle.done():
            await workflow.wait_condition(lambda: handle.done() or bool(news()))
            for part in news():
                told[part] = self.said[part]
                try:
                    await _hand_on(handle, part, self.said[part])
                except FailureError as error:  # it may have ended meanwhile, and needs no word any more
                    if is_cancelled_exception(error):
                        raise
        outcome = await handle
        self.done, self._before = [*self._before, *outcome["done"]], None
        return Ending(outcome["status"], outcome.get("part", ""), outcome.get("reason", ""))

    @workflow.signal
    def part_began(self, part: str, done: list[str]) -> None:
        """From a child, so that `progress` knows: what it waits for now, and what it has done."""
        if self._before is not None:
            self.current, self.attempt, self.missing = part, 0, []
            self.done = [*self._before, *done]


SIGNALS = {
    Part.DOCUMENTS: "documents_verified",
    Part.BACKGROUND_CHECK: "background_check_completed",
    Part.TRAINING: "training_completed",
    Part.SUBSCRIPTION: "subscription_activated",
}


async def _hand_on(handle: Any, part: str, said: Said) -> None:
    args = [said.passed, said.reason] if part == Part.BACKGROUND_CHECK else []
    await handle.signal(SIGNALS[Part(part)], args=args)


WORKFLOWS: list[type] = [
    PractitionerOnboardingWorkflow,
    VerificationWorkflow,
    TrainingWorkflow,
    PractitionerSubscriptionWorkflow,
]
