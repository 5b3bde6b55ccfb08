"""Writes messages to the log instead of sending them: for development."""

from __future__ import annotations

import hashlib
import logging

from automation.providers.sms.base import SmsBackend, SmsMessage, SmsReceipt

logger = logging.getLogger(__name__)


class ConsoleBackend(SmsBackend):
    def send(self, message: SmsMessage) -> SmsReceipt:
        """Logs the message. The id it returns is the same for every attempt, as a deduplicating provider's is."""
        identifier = "console-" + hashlib.sha256(f"{message.idempotency_key}\n{message.to}".encode()).hexdigest()[:20]
        logger.info("SMS %s to %s: %s", identifier, message.to, message.text)
        return SmsReceipt(identifier)
