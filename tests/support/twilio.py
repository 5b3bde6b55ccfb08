"""Twilio's Messages resource, as far as its documentation describes it, on this machine: Basic authentication, a form
in, JSON out, its error codes, and signed status callbacks; and it misbehaves when told to."""

from __future__ import annotations

import base64
import json
import re
import threading
import urllib.request
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

ACCOUNT = "AC" + "0" * 32
TOKEN = "twilio-auth-token"
_PATH = re.compile(r"/2010-04-01/Accounts/(AC[0-9a-f]{32})/Messages\.json")
_E164 = re.compile(r"\+[1-9]\d{6,14}")


@dataclass(frozen=True)
class Trouble:
    """What becomes of one request. `takes`: the message is taken all the same, and only the answer is bad."""

    status: int = 0
    code: int = 0
    message: str = "trouble"
    headers: dict[str, str] = field(default_factory=dict)
    stall: bool = False
    drop: bool = False
    takes: bool = False


@dataclass(frozen=True)
class Taken:
    sid: str
    fields: dict[str, str]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: str = "queued"

    def as_dict(self) -> dict[str, Any]:
        return {
            "sid": self.sid,
            "account_sid": ACCOUNT,
            "to": self.fields["To"],
            "from": self.fields.get("From"),
            "messaging_service_sid": self.fields.get("MessagingServiceSid"),
            "body": self.fields["Body"],
            "status": self.status,
            "direction": "outbound-api",
            "date_created": format_datetime(self.at),
            "error_code": None,
            "error_message": None,
            "num_segments": "1",
        }


class TwilioApi:
    """`messages` holds what was taken, `requests` the fields of all authenticated posts, `lists` the number of answered
    lists; `list_status` is what lists are answered with."""

    def __init__(self) -> None:
        self._server: ThreadingHTTPServer | None = None
        self._released = threading.Event()
        self.reset()

    def reset(self) -> None:
        self._released.set()
        self._released = threading.Event()
        self.messages: list[Taken] = []
        self.requests: list[dict[str, str]] = []
        self.opted_out: set[str] = set()
        self.landlines: set[str] = set()
        self.troubles: deque[Trouble] = deque()
        self.lists = 0
        self.list_status = 200

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def then(self, *troubles: Trouble) -> None:
        """Meets the next requests with these, one each."""
        self.troubles.extend(troubles)

    def rate_limit(self, times: int = 1, retry_after: str = "") -> None:
        headers = {"Retry-After": retry_after} if retry_after else {}
        self.then(*[Trouble(429, 20429, "Too Many Requests", headers)] * times)

    def up(self) -> None:
        api = self

        class Handler(_Handler):
            owner = api

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="twilio", daemon=True).start()

    def down(self) -> None:
        self._released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def callback(self, taken: Taken, status: str, error_code: str = "") -> tuple[str, dict[str, str]]:
        """The fields of a status callback, with the URL that it goes to."""
        fields = {
            "SmsSid": taken.sid,
            "SmsStatus": status,
            "MessageStatus": status,
            "To": taken.fields["To"],
            "MessageSid": taken.sid,
            "AccountSid": ACCOUNT,
            "From": taken.fields.get("From", ""),
            "ApiVersion": "2010-04-01",
        }
        return taken.fields["StatusCallback"], fields | ({"ErrorCode": error_code} if error_code else {})

    def take(self, fields: dict[str, str]) -> Taken:
        taken = Taken(f"SM{len(self.messages) + 1:032x}", fields)
        self.messages.append(taken)
        return taken

    def refusal(self, fields: dict[str, str]) -> tuple[int, str] | None:
        to = fields.get("To", "")
        if not to:
            return 21604, "A 'To' phone number is required."
        if not _E164.fullmatch(to):
            return 21211, f"Invalid 'To' Phone Number: {to}"
        if to in self.landlines:
            return 21614, f"'To' number is not a valid mobile number: {to}"
        if to in self.opted_out:
            return 21610, "Attempt to send to unsubscribed recipient"
        if not (fields.get("From") or fields.get("MessagingServiceSid")):
            return 21603, "A 'From' phone number is required."
        if not fields.get("Body"):
            return 21602, "Message body is required."
        if len(fields["Body"]) > 1600:
            return 21617, "The concatenated message body exceeds the 1600 character limit"
        return None


class _Handler(BaseHTTPRequestHandler):
    owner: TwilioApi
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = _PATH.fullmatch(self.path)
        login = "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if path is None:
            return self._error(404, 20404, f"The requested resource {self.path} was not found")
        if self.headers.get("Authorization") != login or path.group(1) != ACCOUNT:
            return self._error(401, 20003, "Authenticate")
        if self.headers.get("Content-Type") != "application/x-www-form-urlencoded":
            return self._error(415, 20415, "Unsupported media type")
        fields = {name: values[0] for name, values in parse_qs(body.decode("ascii"), keep_blank_values=True).items()}
        api = self.owner
        api.requests.append(fields)
        trouble = api.troubles.popleft() if api.troubles else None
        if trouble is not None:
            if trouble.takes:
                api.take(fields)
            if trouble.stall:
                api._released.wait(60)
            if trouble.stall or trouble.drop:
                self.close_connection = True
                return None
            return self._error(trouble.status, trouble.code, trouble.message, trouble.headers)
        if refusal := api.refusal(fields):
            return self._error(400, *refusal)
        taken = api.take(fields)
        return self._answer(201, taken.as_dict())

    def do_GET(self) -> None:
        """The list: messages to a number, newest first."""
        parts = urlsplit(self.path)
        login = "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        api = self.owner
        if _PATH.fullmatch(parts.path) is None:
            return self._error(404, 20404, f"The requested resource {self.path} was not found")
        if self.headers.get("Authorization") != login or api.list_status == 401:
            return self._error(401, 20003, "Authenticate")
        api.lists += 1
        if api.list_status != 200:
            return self._error(api.list_status, 20500, "trouble")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found = [one.as_dict() for one in reversed(api.messages) if one.fields["To"] == query.get("To")]
        return self._answer(200, {"messages": found[: int(query.get("PageSize", "50"))], "next_page_uri": None})

    def _error(self, status: int, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        more = f"https://www.twilio.com/docs/errors/{code}"
        self._answer(status, {"code": code, "message": message, "more_info": more, "status": status}, headers)

    def _answer(self, status: int, data: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


def post_callback(url: str, fields: dict[str, str], signature: str) -> int:
    """Calls back over HTTP, as Twilio does; returns the answer's status."""
    request = urllib.request.Request(url, urlencode(fields).encode(), {"X-Twilio-Signature": signature})
    with urllib.request.urlopen(request, timeout=20) as response:
        return int(response.status)
