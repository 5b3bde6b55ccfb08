"""Keeps messages in `outbox`, a list of this process: for tests, as Django's locmem email backend is."""

from __future__ import annotations

from automation.providers.sms.base import SmsBackend, SmsFailed, SmsMessage, SmsReceipt, SmsRefused

outbox: list[SmsMessage] = []
refusals: dict[str, SmsFailed | SmsRefused] = {}
"""What to raise for a number, until it is taken out again."""


class MemoryBackend(SmsBackend):
    def send(self, message: SmsMessage) -> SmsReceipt:
        if error := refusals.get(message.to):
            raise error
        outbox.append(message)
        return SmsReceipt(f"memory-{len(outbox)}")


def clear() -> None:
    """Empties the outbox and takes all refusals out."""
    outbox.clear()
    refusals.clear()
