"""Other schedulers, which tell of bookings by webhook: one module each, one contract (`base.Scheduler`)."""

from __future__ import annotations

from automation.providers.schedulers.base import (
    BadSignature,
    Meeting,
    Scheduler,
    SchedulerEvent,
    TooOld,
    Unreadable,
    What,
)
from automation.providers.schedulers.cal_com import CalCom
from automation.providers.schedulers.calendly import Calendly
from automation.providers.schedulers.standard import Standard

SCHEDULERS: dict[str, Scheduler] = {found.kind: found for found in (CalCom(), Calendly(), Standard())}
"""By kind: the value of `InboundSource.kind`."""

__all__ = [
    "BadSignature",
    "Meeting",
    "SCHEDULERS",
    "Scheduler",
    "SchedulerEvent",
    "TooOld",
    "Unreadable",
    "What",
]
