"""Email through Django's email framework (settings.EMAIL_BACKEND): one recipient, one message, one SMTP transaction.

    with MailConnection() as connection:
        message_id = send(Email(to="jose@example.com", subject="Hello", text="…", idempotency_key=key), connection)

A recipient refused for good (5xx) raises EmailRefused and concerns nobody else; everything that may pass later (4xx,
such as greylisting, and every connection problem) raises EmailFailed.
"""

from __future__ import annotations

import hashlib
import re
import smtplib
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.message import BadHeaderError
from django.core.validators import validate_email

from automation.errors import WeirError

_LINE_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_NEWLINES = re.compile(r"\r\n?")
# RFC 3463: 5.1.x is a bad destination address, 5.2.1 a mailbox that is switched off.
_NO_SUCH_ADDRESS = re.compile(r"\b5\.(?:1\.(?:0|1|2|3|6|10)|2\.1)\b")
_UNSENDABLE = re.compile(r"[\x00\ud800-\udfff]")


class EmailFailed(WeirError):
    """The message was not taken this time: no connection, a 4xx answer, or a server that wants no mail from us now."""

    code: ClassVar[str] = "email_failed"
    status: ClassVar[int] = 502


class EmailRefused(WeirError):
    """This recipient or message is refused for good. `suppress` is 'bounced' where the server says that the address
    itself is no good, so that no other message need be tried, and else empty."""

    code: ClassVar[str] = "email_refused"
    status: ClassVar[int] = 400
    suppress: str = ""


@dataclass(frozen=True)
class CalendarFile:
    """An iCalendar file and the METHOD that it has: REQUEST or CANCEL."""

    method: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Email:
    """One message to one address. `html` is a whole document or a fragment; empty for a message of text only.

    `idempotency_key` and the recipient make the Message-ID, the same for every attempt, so that a mailbox can drop
    the copy that a lost answer leads to. `from_email` is settings.DEFAULT_FROM_EMAIL where empty.
    """

    to: str
    subject: str
    text: str
    html: str = ""
    idempotency_key: str
    reply_to: str = ""
    unsubscribe_url: str = ""
    from_email: str = ""
    calendar: CalendarFile | None = None

    @property
    def message_id(self) -> str:
        digest = hashlib.sha256(f"{self.idempotency_key}\n{self.to.lower()}".encode("utf-8", "replace")).hexdigest()
        return f"<{digest[:40]}@{urlsplit(settings.PUBLIC_URL).hostname or 'localhost'}>"


def one_line(text: str) -> str:
    """`text` as a header may hold it: line breaks and control characters become a space."""
    return _UNSENDABLE.sub("\N{REPLACEMENT CHARACTER}", _LINE_BREAKS.sub(" ", text)).strip()


def canonical(text: str) -> str:
    """`text` as mail can carry it: line ends are LF, NUL and lone surrogates become U+FFFD; all else stays."""
    return _UNSENDABLE.sub("\N{REPLACEMENT CHARACTER}", _NEWLINES.sub("\n", text))


def build(email: Email) -> EmailMultiAlternatives:
    """The message as it goes out. Raises EmailRefused for an address that is none."""
    sender = parseaddr(email.from_email)[1] if email.from_email else ""
    for name, address in (("to", email.to), ("reply_to", email.reply_to), ("from_email", sender)):
        try:
            if address or name == "to":
                validate_email(address)
        except ValidationError as error:
            raise EmailRefused(f"{address[:320]!r} is not an email address.", {name: error.messages}) from error
    headers = {"Message-ID": email.message_id, "Auto-Submitted": "auto-generated"}
    if email.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{one_line(email.unsubscribe_url)}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message = EmailMultiAlternatives(
        subject=one_line(email.subject),
        body=canonical(email.text),
        from_email=one_line(email.from_email) or None,
        to=[email.to],
        reply_to=[email.reply_to] if email.reply_to else None,
        headers=headers,
    )
    if email.html:
        message.attach_alternative(canonical(email.html), "text/html")
    if email.calendar is not None:
        # The alternative is what calendars act on, the attachment what everybody else can open.
        method, content = email.calendar.method, email.calendar.content
        message.attach_alternative(content.decode(), f"text/calendar; method={method}")
        message.attach("invite.ics", content, "application/ics")
    return message


class MailConnection:
    """Keeps one session of the backend open over several `send` calls. It opens with the first of them, opens again
    after a failure, and closes at the end of its `with` block."""

    def __init__(self) -> None:
        self._backend: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, message: EmailMultiAlternatives) -> None:
        """Raises what the backend raises."""
        if self._backend is None:
            backend = get_connection(fail_silently=False)
            backend.open()
            self._backend = backend
        try:
            self._backend.send_messages([message])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        backend, self._backend = self._backend, None
        if backend is not None:
            # The message's own fate is known; a bad goodbye changes nothing.
            with suppress(OSError, smtplib.SMTPException):
                backend.close()


def send(email: Email, connection: MailConnection | None = None) -> str:
    """Sends one message and returns its Message-ID. Raises EmailFailed or EmailRefused."""
    message = build(email)
    session = connection or MailConnection()
    try:
        session.send(message)
    except smtplib.SMTPRecipientsRefused as error:
        [(code, reason)] = error.recipients.values()
        raise _by_code(code, reason, email.to) from error
    except (smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError, smtplib.SMTPHeloError) as error:
        # The server's dislike is of us, not of the message: an operator can mend that while we retry.
        raise EmailFailed(
            f"The mail server does not let us in: {_answer(error.smtp_code, error.smtp_error)}."
        ) from error
    except smtplib.SMTPResponseException as error:  # the sender, or the message itself
        raise _by_code(error.smtp_code, error.smtp_error, email.to) from error
    except smtplib.SMTPNotSupportedError as error:
        raise EmailRefused(f"The mail server cannot take mail for {email.to}: {error}.") from error
    except (smtplib.SMTPException, OSError) as error:
        problem = str(error) or type(error).__name__
        raise EmailFailed(f"The mail server cannot be reached: {problem[:300]}.") from error
    except (BadHeaderError, UnicodeError, ValueError) as error:
        raise EmailRefused(f"The message to {email.to} cannot be built: {error}.") from error
    finally:
        if connection is None:
            session.close()
    return email.message_id


def _by_code(code: int, answer: bytes | str, recipient: str) -> WeirError:
    text = f"The mail server refused the message to {recipient}: {_answer(code, answer)}."
    if code < 500:
        return EmailFailed(text)
    refused = EmailRefused(text)
    refused.suppress = "bounced" if _NO_SUCH_ADDRESS.search(text) else ""
    return refused


def _answer(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
    return f"{code} {one_line(text)[:300]}".rstrip(".")
