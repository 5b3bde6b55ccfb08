"""Stripe, through its own SDK: PaymentIntents with manual capture, Refunds, and Transfers to connected accounts.

The SDK makes no attempt of its own beyond the first: the engine retries, with the same Idempotency-Key. Its HTTP goes
through `automation.outbound`, so that one deadline (`settings.PAYMENTS_TIMEOUT`) covers a call as a whole.

| Stripe says | raised |
|---|---|
| 402, or an intent that wants the payer's presence | CardDeclined |
| 429 (also as a 400 with code rate_limit), with Retry-After | PaymentFailed with `retry_after` |
| nothing in time, 5xx, 409 (the key is in use), 401, 403 (an operator can mend a key) | PaymentFailed |
| any other 4xx, also a key that was used for another request | PaymentRefused |

Stripe forgets an idempotency key after 24 hours at the earliest; `lookup` finds by metadata what was done with one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import stripe
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from automation import clock, outbound
from automation.outbound.waits import retry_after
from automation.providers.payments import money
from automation.providers.payments.base import (
    CardDeclined,
    Charge,
    Kind,
    Operation,
    PaymentFailed,
    PaymentRefused,
    PaymentsBackend,
)

MAX_ANSWER = 1_000_000
"""Bytes that are read of an answer; a page of a hundred refunds is a tenth of it."""

AS_HUNDREDTHS = frozenset(("ISK", "UGX"))
"""Currencies without minor units whose amounts Stripe takes in hundredths all the same."""

KEY = "weir_key"
"""The metadata field that holds the idempotency key."""


class StripeBackend(PaymentsBackend):
    def __init__(self) -> None:
        if not settings.STRIPE_API_KEY:
            raise ImproperlyConfigured("STRIPE_API_KEY is not set: expected a secret key, sk_live_… or sk_test_…")
        self._client = stripe.StripeClient(
            settings.STRIPE_API_KEY,
            base_addresses={"api": settings.STRIPE_API_URL},
            http_client=_Outbound(settings.STRIPE_API_URL),
            max_network_retries=0,
        )

    def authorize(self, charge: Charge) -> Operation:
        with _answers():
            intent = self._client.v1.payment_intents.create(
                _intent(charge, capture_method="manual"), {"idempotency_key": charge.idempotency_key}
            )
        _require(intent, "requires_capture")
        return Operation(intent.id, "authorization", charge.amount, charge.currency)

    def capture(self, authorization: str, amount: Decimal, currency: str, idempotency_key: str) -> Operation:
        with _answers():
            intent = self._client.v1.payment_intents.capture(
                authorization, {"amount_to_capture": to_minor(amount, currency)}, {"idempotency_key": idempotency_key}
            )
        _require(intent, "succeeded")
        return Operation(intent.id, "capture", amount, currency)

    def void(self, authorization: str, idempotency_key: str) -> Operation:
        with _answers():
            intent = self._client.v1.payment_intents.cancel(authorization, {}, {"idempotency_key": idempotency_key})
        currency = intent.currency.upper()
        return Operation(intent.id, "void", from_minor(intent.amount, currency), currency)

    def refund(self, payment: str, amount: Decimal, currency: str, idempotency_key: str) -> Operation:
        with _answers():
            refund = self._client.v1.refunds.create(
                {
                    "payment_intent": payment,
                    "amount": to_minor(amount, currency),
                    "metadata": {KEY: idempotency_key},
                },
                {"idempotency_key": idempotency_key},
            )
        if refund.status in ("failed", "canceled"):
            reason = getattr(refund, "failure_reason", None) or refund.status
            raise PaymentRefused(f"Stripe could not refund {payment}: {reason}.", reason)
        return Operation(refund.id, "refund", amount, currency)

    def transfer(
        self, destination: str, amount: Decimal, currency: str, reference: str, idempotency_key: str
    ) -> Operation:
        with _answers():
            transfer = self._client.v1.transfers.create(
                {
                    "amount": to_minor(amount, currency),
                    "currency": currency.lower(),
                    "destination": destination,
                    "transfer_group": reference,
                    "metadata": {KEY: idempotency_key},
                },
                {"idempotency_key": idempotency_key},
            )
        return Operation(transfer.id, "transfer", amount, currency)

    def charge_subscription(self, charge: Charge) -> Operation:
        away = {"off_session": True} if charge.customer else {}
        with _answers():
            intent = self._client.v1.payment_intents.create(
                _intent(charge, capture_method="automatic", **away), {"idempotency_key": charge.idempotency_key}
            )
        _require(intent, "succeeded")
        return Operation(intent.id, "charge", charge.amount, charge.currency)

    def lookup(self, kind: Kind, idempotency_key: str, within: str = "") -> Operation | None:
        match kind:
            case "capture" | "void":
                with _answers():
                    intent = self._client.v1.payment_intents.retrieve(within)
                if intent.status != ("succeeded" if kind == "capture" else "canceled"):
                    return None
                received = intent.amount_received if kind == "capture" else intent.amount
                return _operation(intent.id, kind, received, intent.currency)
            case "refund" | "transfer":
                found = self._listed(kind, idempotency_key, within)
            case "authorization" | "charge":
                with _answers():
                    query = f"metadata['{KEY}']:'{idempotency_key}'"
                    intents = self._client.v1.payment_intents.search({"query": query}).data
                good = ("requires_capture", "succeeded") if kind == "authorization" else ("succeeded",)
                found = next((one for one in intents if one.status in good), None)
        return _operation(found.id, kind, found.amount, found.currency) if found is not None else None

    def _listed(self, kind: Kind, idempotency_key: str, within: str) -> Any:
        with _answers():
            rows: Iterator[Any]
            if kind == "refund":
                rows = self._client.v1.refunds.list({"payment_intent": within, "limit": 100}).auto_paging_iter()
            else:
                rows = self._client.v1.transfers.list({"transfer_group": within, "limit": 100}).auto_paging_iter()
            return next((row for row in rows if _key_of(row) == idempotency_key), None)


def _intent(charge: Charge, **options: Any) -> Any:
    """The parameters of a PaymentIntent that is confirmed at once; only cards, as nothing else is known on the spot."""
    parameters: dict[str, Any] = {
        "amount": to_minor(charge.amount, charge.currency),
        "currency": charge.currency.lower(),
        "payment_method": charge.payment_method,
        "payment_method_types": ["card"],
        "confirm": True,
        "metadata": {KEY: charge.idempotency_key, "reference": charge.reference},
        **options,
    }
    if charge.customer:
        parameters["customer"] = charge.customer
    return parameters


def _require(intent: stripe.PaymentIntent, status: str) -> None:
    """Raise unless the intent came out as it should: a bank may want its customer to confirm, who is not here."""
    if intent.status == status:
        return
    if intent.status in ("requires_action", "requires_payment_method", "requires_confirmation"):
        raise CardDeclined(f"The bank wants the payer to confirm ({intent.status}).", "authentication_required")
    if intent.status == "processing":
        raise PaymentFailed(f"{intent.id} is still being processed.")
    raise PaymentRefused(f"{intent.id} is {intent.status}, where {status} was expected.", intent.status)


def _key_of(row: Any) -> str:
    metadata: dict[str, Any] = row.metadata.to_dict() if row.metadata else {}
    return str(metadata.get(KEY, ""))


def to_minor(amount: Decimal, currency: str) -> int:
    """The amount in the units in which Stripe counts the currency."""
    return money.to_minor(amount, currency) * (100 if currency in AS_HUNDREDTHS else 1)


def from_minor(units: int, currency: str) -> Decimal:
    return money.from_minor(units // 100 if currency in AS_HUNDREDTHS else units, currency)


def _operation(identifier: str, kind: Kind, units: int, currency: str) -> Operation:
    return Operation(identifier, kind, from_minor(units, currency.upper()), currency.upper())


@contextmanager
def _answers() -> Iterator[None]:
    """Stripe's errors as ours."""
    try:
        yield
    except stripe.CardError as error:
        body: Any = error.json_body
        word = body["error"].get("decline_code") or error.code or "card_declined"
        raise CardDeclined(error.user_message or "The card was declined.", str(word)) from error
    except stripe.RateLimitError as error:
        wait = retry_after(_header(error, "retry-after"), clock.now())
        raise PaymentFailed(f"Stripe asks for fewer calls: {_said(error)}.", wait) from error
    except stripe.APIConnectionError as error:
        raise PaymentFailed(str(error.user_message)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise PaymentFailed(f"Stripe does not accept STRIPE_API_KEY: {_said(error)}.") from error
    except stripe.StripeError as error:
        code = error.http_status or 0
        if code == 409 or code >= 500 or not code:
            wait = retry_after(_header(error, "retry-after"), clock.now())
            raise PaymentFailed(f"Stripe could not answer: {code} {_said(error)}.", wait) from error
        raise PaymentRefused(f"Stripe refuses this: {code} {_said(error)}.", error.code or "") from error


def _said(error: stripe.StripeError) -> str:
    return (error.user_message or type(error).__name__)[:300].rstrip(".")


def _header(error: stripe.StripeError, name: str) -> str:
    headers: Mapping[str, str] = error.headers or {}
    return headers.get(name, "")


class _Outbound(stripe.HTTPClient):
    """The SDK's calls, made through the project's one way out."""

    name = "weir"

    def __init__(self, api_url: str) -> None:
        super().__init__()
        target = outbound.parse_target(api_url)
        self._trusted = f"{target.host}:{target.port}"

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, *, _usage: Any = None
    ) -> tuple[str, int, Mapping[str, str]]:
        body = post_data.encode() if isinstance(post_data, str) else post_data
        try:
            answer = outbound.request(
                method.upper(),
                url,
                body=body,
                headers={name: str(value) for name, value in (headers or {}).items()},
                timeout=settings.PAYMENTS_TIMEOUT,
                max_body=MAX_ANSWER,
                trusted_hosts=[self._trusted],
            )
        except outbound.OutboundError as error:
            raise stripe.APIConnectionError(error.message) from error  # type: ignore[no-untyped-call]
        return answer.body.decode("utf-8", "replace"), answer.status, answer.headers

    def close(self) -> None:
        """Connections belong to the process."""
