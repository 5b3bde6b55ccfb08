"""A small Stripe: the part of its documented API that moves money, over real HTTP, which misbehaves when told to.

It keeps idempotency keys as Stripe does: the first answer of a key that was carried out (a declined card's too) is
repeated to every later request with that key, and another request with it is refused.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

Fault = Literal["error", "stall", "lost answer", "no answer", "rate limit"]

DECLINES = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
}


class ApiError(Exception):
    def __init__(self, status: int, message: str, kind: str = "invalid_request_error", **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": kind, "message": message, **fields}}


@dataclass
class Trouble:
    """What goes wrong with the requests that `matches`, `count` times."""

    fault: Fault
    count: int
    matches: Callable[[str, str], bool]
    retry_after: int | None = None


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    key: str
    form: dict[str, str] = field(default_factory=dict)


class StripeApi:
    """`requests` are all that arrived; `moved` counts what was carried out, by kind of object."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.requests: list[Seen] = []
        self.moved: Counter[str] = Counter()
        self.objects: dict[str, dict[str, Any]] = {}
        self.away: Callable[[], bool] = lambda: False
        self._answers: dict[str, tuple[Any, int, dict[str, Any]]] = {}
        self._troubles: list[Trouble] = []
        api = self

        class Handler(_Handler):
            owner = api

        self._server = _Server((self.host, 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="stripe-api", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self._server.server_address[1]}"

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    # -- what a test says ----------------------------------------------------------------------------------------------

    def fail(self, fault: Fault, count: int = 1, path: str = "", retry_after: int | None = None) -> None:
        """Go wrong with the next `count` requests whose path contains `path`.

        "error" answers 500 and does nothing; "rate limit" answers 429; "stall" never answers, and does nothing; "lost
        answer" carries the request out and resets the connection; "no answer" carries it out and then stalls.
        """
        self._troubles.append(Trouble(fault, count, lambda _, found: path in found, retry_after))

    def forget_keys(self) -> None:
        """A day passes: idempotency keys are forgotten."""
        self._answers.clear()

    def to(self, path: str) -> list[Seen]:
        return [request for request in self.requests if path in request.path]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.objects.values() if one["object"] == kind]

    # -- what the server asks ------------------------------------------------------------------------------------------

    def trouble(self, method: str, path: str) -> Trouble | None:
        with self._lock:
            for one in self._troubles:
                if one.count and one.matches(method, path):
                    one.count -= 1
                    return one
        return None

    def answer(self, seen: Seen, authorization: str) -> tuple[int, dict[str, Any], bool]:
        """Status, body, and whether this repeats an answer."""
        with self._lock:
            if not authorization.startswith("Bearer sk_test_"):
                error = ApiError(401, "Invalid API Key provided", "invalid_request_error")
                return error.status, error.body, False
            request = (seen.path, sorted(seen.form.items()))
            if seen.key and seen.key in self._answers:
                known, status, body = self._answers[seen.key]
                if known != request:
                    message = "Keys for idempotent requests can only be used with the same parameters as at first."
                    return 400, {"error": {"type": "idempotency_error", "message": message}}, False
                return status, body, True
            try:
                status, body = 200, self._route(seen)
            except ApiError as error:
                status, body = error.status, error.body
            if seen.key and status in (200, 402):
                self._answers[seen.key] = (request, status, json.loads(json.dumps(body)))
            return status, body, False

    def _route(self, seen: Seen) -> dict[str, Any]:
        parts = urlsplit(seen.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        match [seen.method, *parts.path.strip("/").split("/")[1:]]:
            case ["POST", "payment_intents"]:
                return self._create_intent(seen.form)
            case ["POST", "payment_intents", name, "capture"]:
                return self._capture(self._find(name), seen.form)
            case ["POST", "payment_intents", name, "cancel"]:
                return self._cancel(self._find(name))
            case ["GET", "payment_intents", "search"]:
                return self._search(query["query"])
            case ["GET", "payment_intents", name]:
                return self._find(name)
            case ["POST", "refunds"]:
                return self._refund(seen.form)
            case ["POST", "transfers"]:
                return self._transfer(seen.form)
            case ["GET", "refunds"]:
                return _list("refunds", self._matching("refund", "payment_intent", query))
            case ["GET", "transfers"]:
                return _list("transfers", self._matching("transfer", "transfer_group", query))
        raise ApiError(404, f"Unrecognized request URL ({seen.method}: {seen.path}).")

    def _create_intent(self, form: dict[str, str]) -> dict[str, Any]:
        method = form.get("payment_method", "")
        manual = form.get("capture_method") == "manual"
        if not form.get("amount", "").isdigit() or int(form["amount"]) < 1:
            raise ApiError(400, f"Invalid integer: {form.get('amount')}", param="amount")
        if not method.startswith("pm_"):
            raise ApiError(400, f"No such PaymentMethod: '{method}'", code="resource_missing", param="payment_method")
        if form.get("off_session") == "true" and form.get("confirm") != "true":
            raise ApiError(400, "off_session can only be used with confirm=true.")
        if method in DECLINES:
            raise ApiError(
                402, "Your card was declined.", "card_error", code="card_declined", decline_code=DECLINES[method]
            )
        status = "requires_capture" if manual else "succeeded"
        if method == "pm_card_authenticationRequired":
            status = "requires_action"
        return self._keep(
            "payment_intent",
            "pi",
            amount=int(form["amount"]),
            amount_received=0 if status != "succeeded" else int(form["amount"]),
            currency=form["currency"],
            status=status,
            capture_method=form.get("capture_method", "automatic"),
            customer=form.get("customer"),
            payment_method=method,
            metadata=_metadata(form),
        )

    def _capture(self, intent: dict[str, Any], form: dict[str, str]) -> dict[str, Any]:
        amount = int(form.get("amount_to_capture", intent["amount"]))
        if intent["status"] != "requires_capture":
            raise ApiError(400, f"This PaymentIntent could not be captured because it has a status of "
                           f"{intent['status']}.", code="payment_intent_unexpected_state")  # fmt: skip
        if amount > intent["amount"]:
            raise ApiError(400, "The amount to capture is greater than the authorized amount.", code="amount_too_large")
        intent |= {"status": "succeeded", "amount_received": amount}
        self.moved["capture"] += 1
        return intent

    def _cancel(self, intent: dict[str, Any]) -> dict[str, Any]:
        if intent["status"] in ("succeeded", "canceled"):
            raise ApiError(400, f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}.",
                           code="payment_intent_unexpected_state")  # fmt: skip
        intent["status"] = "canceled"
        return intent

    def _search(self, query: str) -> dict[str, Any]:
        name, _, value = query.partition(":")
        key, wanted = name.removeprefix("metadata['").removesuffix("']"), value.strip("'")
        rows = [one for one in self.of_kind("payment_intent") if one["metadata"].get(key) == wanted]
        return {"object": "search_result", "url": "/v1/payment_intents/search", "has_more": False, "data": rows}

    def _refund(self, form: dict[str, str]) -> dict[str, Any]:
        intent = self._find(form["payment_intent"])
        done = sum(one["amount"] for one in self._matching("refund", "payment_intent", form))
        amount = int(form.get("amount", intent["amount_received"] - done))
        if amount > intent["amount_received"] - done:
            raise ApiError(400, "Refund amount is greater than unrefunded amount on charge.", code="amount_too_large")
        return self._keep("refund", "re", amount=amount, currency=intent["currency"], status="succeeded",
                          payment_intent=intent["id"], metadata=_metadata(form))  # fmt: skip

    def _transfer(self, form: dict[str, str]) -> dict[str, Any]:
        if not form.get("destination", "").startswith("acct_") or form["destination"] == "acct_closed":
            raise ApiError(400, f"No such destination: '{form.get('destination')}'", code="resource_missing")
        return self._keep("transfer", "tr", amount=int(form["amount"]), currency=form["currency"],
                          destination=form["destination"], transfer_group=form.get("transfer_group"),
                          metadata=_metadata(form))  # fmt: skip

    def _find(self, name: str) -> dict[str, Any]:
        if name not in self.objects:
            raise ApiError(404, f"No such payment_intent: '{name}'", code="resource_missing")
        return self.objects[name]

    def _matching(self, kind: str, name: str, wanted: dict[str, str]) -> list[dict[str, Any]]:
        return [one for one in self.of_kind(kind) if one[name] == wanted.get(name)]

    def _keep(self, kind: str, prefix: str, **fields: Any) -> dict[str, Any]:
        self.moved[kind] += 1
        made = {"id": f"{prefix}_emulated_{len(self.objects) + 1:06}", "object": kind, **fields}
        self.objects[made["id"]] = made
        return made


def _metadata(form: dict[str, str]) -> dict[str, str]:
    return {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")}


def _list(kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "url": f"/v1/{kind}", "has_more": False, "data": rows}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle is what some tests want."""


class _Handler(BaseHTTPRequestHandler):
    owner: StripeApi
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = dict(parse_qsl(body))
        seen = Seen(self.command, self.path, self.headers.get("Idempotency-Key", ""), form)
        self.owner.requests.append(seen)
        trouble = self.owner.trouble(self.command, self.path)
        fault = trouble.fault if trouble else None
        if self.owner.away():
            fault = "error"
        match fault:
            case "stall":
                self.owner._released.wait(600)
                self.close_connection = True
            case "error":
                self._send(503, {"error": {"type": "api_error", "message": "An unknown error occurred."}})
            case "rate limit":
                wait = {} if trouble is None or trouble.retry_after is None else {"Retry-After": trouble.retry_after}
                error = {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests."}
                self._send(429, {"error": error}, **wait)
            case _:
                status, answer, again = self.owner.answer(seen, self.headers.get("Authorization", ""))
                if fault == "no answer":
                    self.owner._released.wait(600)
                    self.close_connection = True
                    return
                if fault == "lost answer":
                    # Linger of zero: closing sends RST, not FIN.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                    return
                self._send(status, answer, **({"Idempotent-Replayed": "true"} if again else {}))

    def _send(self, status: int, body: dict[str, Any], **headers: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Request-Id", f"req_{len(self.owner.requests)}")
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the requests are recorded."""


@pytest.fixture
def stripe_api(settings: Any) -> Iterator[StripeApi]:
    """The emulator, and settings that choose it."""
    api = StripeApi()
    settings.PAYMENTS_BACKEND = "automation.providers.payments.stripe.StripeBackend"
    settings.STRIPE_API_KEY = "sk_test_weir"
    settings.STRIPE_API_URL = api.url
    yield api
    api.close()
