"""One contract, three counterparts: the offline backend, an emulator of Stripe's API, and the localstripe package."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from automation.errors import InvalidInput
from automation.models import PaymentOperation
from automation.providers.payments import (
    CardDeclined,
    Charge,
    PaymentFailed,
    PaymentRefused,
    PaymentsBackend,
    get_backend,
    memory,
    money,
)
from tests.support.localstripe import LocalStripe, _localstripe, localstripe  # noqa: F401
from tests.support.stripe_api import StripeApi, stripe_api  # noqa: F401


def charge(key: str = "k:1", amount: str = "50.00", method: str = "pm_card_visa", **fields: Any) -> Charge:
    return Charge(
        amount=Decimal(amount),
        currency=fields.pop("currency", "EUR"),
        payment_method=method,
        reference="payment:1",
        idempotency_key=key,
        **fields,
    )


@pytest.fixture(params=["memory", "stripe_api", "localstripe"])
def backend(request: pytest.FixtureRequest, db: None) -> PaymentsBackend:
    if request.param != "memory":
        request.getfixturevalue(request.param)
    return get_backend()


@pytest.fixture(params=["memory", "stripe_api"])
def strict(request: pytest.FixtureRequest, db: None) -> PaymentsBackend:
    """A backend that keeps idempotency keys and knows transfers, which localstripe does not."""
    if request.param != "memory":
        request.getfixturevalue(request.param)
    return get_backend()


# -- the contract ------------------------------------------------------------------------------------------------------


def test_an_authorization_is_captured_and_refunded_in_parts(backend: PaymentsBackend) -> None:
    authorized = backend.authorize(charge())
    assert (authorized.kind, authorized.amount, authorized.currency) == ("authorization", Decimal("50.00"), "EUR")
    captured = backend.capture(authorized.id, Decimal("50.00"), "EUR", "k:2")
    assert captured.id == authorized.id
    first = backend.refund(authorized.id, Decimal("20.00"), "EUR", "k:3")
    second = backend.refund(authorized.id, Decimal("30.00"), "EUR", "k:4")
    assert first.id != second.id


def test_a_charge_captures_at_once(backend: PaymentsBackend) -> None:
    paid = backend.charge_subscription(charge())
    assert paid.kind == "charge"
    assert backend.refund(paid.id, Decimal("50.00"), "EUR", "k:2").amount == Decimal("50.00")


@pytest.mark.parametrize("call", ["authorize", "charge_subscription"])
def test_a_declined_card_says_so(backend: PaymentsBackend, call: str, request: pytest.FixtureRequest) -> None:
    # Of the cards that Stripe documents, localstripe declines this one only.
    local = "localstripe" in request.node.name
    with pytest.raises(CardDeclined) as caught:
        getattr(backend, call)(charge(method="pm_card_chargeCustomerFail" if local else "pm_card_chargeDeclined"))
    assert caught.value.decline_code == ("card_declined" if local else "generic_decline")


def test_more_than_was_authorized_cannot_be_captured(backend: PaymentsBackend) -> None:
    authorized = backend.authorize(charge())
    with pytest.raises(PaymentRefused):
        backend.capture(authorized.id, Decimal("50.01"), "EUR", "k:2")


def test_what_was_captured_is_not_captured_again(backend: PaymentsBackend) -> None:
    authorized = backend.authorize(charge())
    backend.capture(authorized.id, Decimal("50.00"), "EUR", "k:2")
    with pytest.raises(PaymentRefused):
        backend.capture(authorized.id, Decimal("50.00"), "EUR", "k:3")


def test_an_authorization_that_was_let_go_is_not_captured(backend: PaymentsBackend) -> None:
    authorized = backend.authorize(charge())
    assert backend.void(authorized.id, "k:2").amount == Decimal("50.00")
    with pytest.raises((PaymentRefused, PaymentFailed)):
        backend.void(authorized.id, "k:3")


def test_an_unknown_payment_is_refused(backend: PaymentsBackend) -> None:
    with pytest.raises(PaymentRefused):
        backend.refund("pi_nothing", Decimal("1.00"), "EUR", "k:9")


def test_a_currency_without_minor_units_is_counted_in_whole_ones(backend: PaymentsBackend) -> None:
    authorized = backend.authorize(charge(amount="5000", currency="JPY"))
    assert backend.capture(authorized.id, Decimal(5000), "JPY", "k:2").amount == Decimal(5000)


# -- with keys ---------------------------------------------------------------------------------------------------------


def test_a_key_moves_money_once(strict: PaymentsBackend) -> None:
    first = strict.authorize(charge("k:1"))
    assert strict.authorize(charge("k:1")) == first
    captured = strict.capture(first.id, Decimal("50.00"), "EUR", "k:2")
    assert strict.capture(first.id, Decimal("50.00"), "EUR", "k:2") == captured
    refunded = strict.refund(first.id, Decimal("10.00"), "EUR", "k:3")
    assert strict.refund(first.id, Decimal("10.00"), "EUR", "k:3") == refunded
    sent = strict.transfer("acct_1", Decimal("5.00"), "EUR", "payout:1", "k:4")
    assert strict.transfer("acct_1", Decimal("5.00"), "EUR", "payout:1", "k:4") == sent


def test_a_declined_key_stays_declined(strict: PaymentsBackend) -> None:
    for _ in range(2):
        with pytest.raises(CardDeclined):
            strict.authorize(charge(method="pm_card_visa_chargeDeclinedInsufficientFunds"))


def test_a_key_of_another_request_is_refused(strict: PaymentsBackend) -> None:
    strict.authorize(charge("k:1"))
    with pytest.raises(PaymentRefused):
        strict.authorize(charge("k:1", amount="51.00"))


def test_more_than_was_captured_is_not_refunded(strict: PaymentsBackend) -> None:
    authorized = strict.authorize(charge())
    strict.capture(authorized.id, Decimal("40.00"), "EUR", "k:2")
    strict.refund(authorized.id, Decimal("30.00"), "EUR", "k:3")
    with pytest.raises(PaymentRefused):
        strict.refund(authorized.id, Decimal("10.01"), "EUR", "k:4")


def test_a_closed_account_takes_no_transfer(strict: PaymentsBackend) -> None:
    with pytest.raises(PaymentRefused):
        strict.transfer("acct_closed", Decimal("5.00"), "EUR", "payout:1", "k:1")


def test_what_was_done_is_found_by_its_key(strict: PaymentsBackend) -> None:
    assert strict.lookup("authorization", "k:1") is None
    authorized = strict.authorize(charge("k:1"))
    assert strict.lookup("authorization", "k:1") == authorized
    assert strict.lookup("capture", "k:2", authorized.id) is None
    captured = strict.capture(authorized.id, Decimal("50.00"), "EUR", "k:2")
    assert strict.lookup("capture", "k:2", authorized.id) == captured
    refunded = strict.refund(authorized.id, Decimal("10.00"), "EUR", "k:3")
    assert strict.lookup("refund", "k:3", authorized.id) == refunded
    assert strict.lookup("refund", "k:4", authorized.id) is None
    sent = strict.transfer("acct_1", Decimal("5.00"), "EUR", "payout:1", "k:5")
    assert strict.lookup("transfer", "k:5", "payout:1") == sent
    assert strict.lookup("transfer", "k:6", "payout:1") is None


def test_a_bank_that_wants_the_payer_is_a_decline(strict: PaymentsBackend) -> None:
    with pytest.raises(CardDeclined) as caught:
        strict.authorize(charge(method="pm_card_authenticationRequired"))
    assert caught.value.decline_code == "authentication_required"


# -- Stripe's ill will -------------------------------------------------------------------------------------------------


def test_a_rate_limit_says_how_long(stripe_api: StripeApi) -> None:  # noqa: F811
    stripe_api.fail("rate limit", retry_after=17)
    with pytest.raises(PaymentFailed) as caught:
        get_backend().authorize(charge())
    assert caught.value.retry_after == timedelta(seconds=17)
    assert len(stripe_api.requests) == 1, "the engine retries, not the SDK"


def test_an_error_of_stripes_own_may_pass(stripe_api: StripeApi) -> None:  # noqa: F811
    stripe_api.fail("error")
    with pytest.raises(PaymentFailed):
        get_backend().authorize(charge())
    assert get_backend().authorize(charge()).id


def test_a_stalled_call_ends(stripe_api: StripeApi, settings: Any) -> None:  # noqa: F811
    settings.PAYMENTS_TIMEOUT = 0.2
    stripe_api.fail("stall")
    with pytest.raises(PaymentFailed, match="did not answer"):
        get_backend().authorize(charge())


def test_a_lost_answer_is_asked_for_again_and_nothing_moves_twice(stripe_api: StripeApi) -> None:  # noqa: F811
    backend = get_backend()
    stripe_api.fail("lost answer")
    with pytest.raises(PaymentFailed):
        backend.authorize(charge())
    assert backend.authorize(charge()).id
    assert stripe_api.moved["payment_intent"] == 1
    assert {request.key for request in stripe_api.requests} == {"k:1"}


def test_no_server_may_pass(settings: Any, stripe_api: StripeApi) -> None:  # noqa: F811
    stripe_api.close()
    with pytest.raises(PaymentFailed):
        get_backend().authorize(charge())


def test_a_bad_key_is_an_operators_to_mend(stripe_api: StripeApi, settings: Any) -> None:  # noqa: F811
    settings.STRIPE_API_KEY = "sk_wrong"
    with pytest.raises(PaymentFailed, match="STRIPE_API_KEY"):
        get_backend().authorize(charge())


def test_an_amount_goes_out_in_minor_units(stripe_api: StripeApi) -> None:  # noqa: F811
    get_backend().authorize(charge(amount="12.30"))
    assert stripe_api.requests[0].form["amount"] == "1230"
    get_backend().authorize(charge("k:2", amount="500", currency="UGX"))
    assert stripe_api.requests[1].form["amount"] == "50000"


def test_stripe_without_a_key_is_refused(settings: Any) -> None:
    settings.PAYMENTS_BACKEND = "automation.providers.payments.stripe.StripeBackend"
    settings.STRIPE_API_KEY = ""
    with pytest.raises(ImproperlyConfigured, match="STRIPE_API_KEY"):
        get_backend()


@pytest.mark.parametrize("path", ["automation.providers.payments.nothing.Backend", "automation.errors.WeirError", "x"])
def test_a_backend_that_is_none_is_named(path: str, settings: Any) -> None:
    settings.PAYMENTS_BACKEND = path
    with pytest.raises(ImproperlyConfigured, match="PAYMENTS_BACKEND="):
        get_backend()


# -- offline -----------------------------------------------------------------------------------------------------------


def test_the_offline_books_show_what_happened(db: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        authorized = get_backend().authorize(charge())
    row = PaymentOperation.objects.get()
    assert (row.provider_id, row.kind, row.amount, row.reference) == (
        authorized.id, "authorization", Decimal("50.000"), "payment:1",
    )  # fmt: skip
    assert "authorization of 50.00 EUR" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_offline_operations_need_no_transaction_around_them() -> None:
    backend = get_backend()
    authorized = backend.authorize(charge())
    backend.void(authorized.id, "k:2")
    paid = backend.charge_subscription(charge("k:3"))
    assert backend.refund(paid.id, Decimal("1.00"), "EUR", "k:4").kind == "refund"


def test_offline_ids_follow_from_the_keys(db: None) -> None:
    first = get_backend().authorize(charge()).id
    PaymentOperation.objects.all().delete()
    assert get_backend().authorize(charge()).id == first


def test_an_outage_can_be_played(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "outage", [PaymentFailed("away")])
    with pytest.raises(PaymentFailed, match="away"):
        get_backend().authorize(charge())


# -- money -------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 10**12), st.sampled_from(["EUR", "JPY", "KWD", "USD", "UGX"]))
def test_minor_units_and_back(units: int, currency: str) -> None:
    amount = money.from_minor(units, currency)
    assert money.to_minor(amount, currency) == units
    assert money.rounded(amount, currency) == amount


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (lambda: money.to_minor(Decimal("1.001"), "EUR"), "minor units"),
        (lambda: money.to_minor(Decimal("NaN"), "EUR"), "minor units"),
        (lambda: money.exponent("eur"), "three capital letters"),
    ],
)
def test_what_is_no_money_is_refused(call: Callable[[], Any], wrong: str) -> None:
    with pytest.raises(InvalidInput, match=wrong):
        call()


def test_a_float_is_no_money() -> None:
    with pytest.raises(TypeError, match="Decimal"):
        money.to_minor(1.5, "EUR")  # type: ignore[arg-type]


def test_halves_go_to_the_even_neighbour() -> None:
    assert [money.rounded(Decimal(text), "EUR") for text in ("0.125", "0.135")] == [Decimal("0.12"), Decimal("0.14")]
