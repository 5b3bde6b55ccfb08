"""A real SMTP server that keeps what it is sent, and misbehaves when told to."""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.waiting import wait_until

logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's own, a line for each step of each connection


@dataclass(frozen=True)
class ReceivedMail:
    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The plain text part."""
        part = self.message.get_body(("plain",))
        return str(part.get_content()) if part else ""

    @property
    def html(self) -> str:
        part = self.message.get_body(("html",))
        return str(part.get_content()) if part else ""


class SmtpServer:
    """`messages` holds each accepted message once per DATA; an accepted message is recorded before it is answered."""

    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.port = port
        self._lock = threading.Lock()
        self._controller: Controller | None = None
        self.reset()

    # What a test says.

    def reset(self) -> None:
        """Forget all messages and behave again."""
        with self._lock:
            self.messages: list[ReceivedMail] = []
            self.attempts: list[tuple[str, ...]] = []  # the RCPTs of each transaction that reached DATA or was refused
            self._refusals: dict[str, str] = {}
            self._greylisted = 0
            self.away: Callable[[], bool] = lambda: False
            self._stall = 0.0
            self._data_answer = ""
            self._drop_answers = 0

    def reject(self, recipient: str, answer: str = "550 5.1.1 no such user") -> None:
        """Refuse this recipient, whoever else the message is for."""
        self._refusals[recipient.lower()] = answer

    def greylist(self, times: int) -> None:
        """Answer the next `times` recipients with 451."""
        self._greylisted = times

    def stall(self, seconds: float) -> None:
        """Take this long to answer each DATA."""
        self._stall = seconds

    def refuse_data(self, answer: str = "554 5.7.1 refused") -> None:
        self._data_answer = answer

    def drop_answers(self, times: int) -> None:
        """Take the next `times` messages, and close the connection without saying so."""
        self._drop_answers = times

    def wait_for(self, count: int, timeout: float = 20.0) -> list[ReceivedMail]:
        """The messages, once there are at least `count`."""
        wait_until(lambda: len(self.messages) >= count, timeout, lambda: f"{count} mails; got {len(self.messages)}")
        return list(self.messages)

    # Starting and stopping; `down` is a server that refuses connections.

    def up(self) -> None:
        if self._controller is None:
            self._controller = Controller(self, hostname=self.host, port=self.port)
            self._controller.start()

    def down(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    # What aiosmtpd calls, on its own thread.

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[Any]
    ) -> str:
        with self._lock:
            if self.away():
                self.attempts.append((address,))
                return "421 4.3.2 service not available"
            if self._greylisted > 0:
                self._greylisted -= 1
                self.attempts.append((address,))
                return "451 4.7.1 greylisted, try again later"
            if answer := self._refusals.get(address.lower()):
                self.attempts.append((address,))
                return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self._stall:
            await asyncio.sleep(self._stall)
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        message = email.message_from_bytes(content, policy=email.policy.default)
        with self._lock:
            self.attempts.append(tuple(envelope.rcpt_tos))
            if self._data_answer:
                return self._data_answer
            self.messages.append(ReceivedMail(str(envelope.mail_from), tuple(envelope.rcpt_tos), message))
            drop = self._drop_answers > 0
            self._drop_answers -= drop
        if drop and isinstance(server.transport, asyncio.WriteTransport):
            server.transport.abort()
        return "250 OK"
