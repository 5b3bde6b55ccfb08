"""What every payments backend is: what it can be asked for, what it answers, and the three ways to say no."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import ClassVar, Literal

from automation.errors import WeirError

Kind = Literal["authorization", "capture", "charge", "refund", "transfer", "void"]


class PaymentFailed(WeirError):
    """The provider did not carry it out this time, or we do not know: no connection, an error of its own, too many
    calls. `retry_after` is how long it asked to wait, if it did. Asking again with the same key does nothing twice."""

    code: ClassVar[str] = "payment_failed"
    status: ClassVar[int] = 502

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CardDeclined(WeirError):
    """The payer's bank says no; `decline_code` is its word for why. Asking again changes nothing."""

    code: ClassVar[str] = "card_declined"
    status: ClassVar[int] = 402

    def __init__(self, message: str, decline_code: str = "") -> None:
        super().__init__(message)
        self.decline_code = decline_code


class PaymentRefused(WeirError):
    """The provider refuses the request for good: no such payment, more than was captured, an account that is closed."""

    code: ClassVar[str] = "payment_refused"
    status: ClassVar[int] = 400

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What a payer is asked for. `payment_method` and `customer` are the provider's own names; `reference` is ours for
    what is paid, shown in the provider's books. `idempotency_key` is the same for every attempt."""

    amount: Decimal
    currency: str
    payment_method: str
    reference: str
    idempotency_key: str
    customer: str = ""


@dataclass(frozen=True)
class Operation:
    """What the provider did: its id for it, and what it moved. An authorization has moved nothing yet."""

    id: str
    kind: Kind
    amount: Decimal
    currency: str


class PaymentsBackend(ABC):
    """A way to move money. Made once per process; several threads may use it.

    Every method that moves money takes an idempotency key: a second call with the same key answers as the first did
    and moves nothing. All raise PaymentFailed (may pass later) and PaymentRefused (will not); those that ask a payer's
    bank raise CardDeclined as well.
    """

    @abstractmethod
    def authorize(self, charge: Charge) -> Operation:
        """Reserves the amount at the payer's bank; `capture` takes it, `void` lets it go."""

    @abstractmethod
    def capture(self, authorization: str, amount: Decimal, currency: str, idempotency_key: str) -> Operation:
        """Takes what was authorized, or less of it; the rest is let go."""

    @abstractmethod
    def void(self, authorization: str, idempotency_key: str) -> Operation:
        """Lets an authorization go that will not be captured."""

    @abstractmethod
    def refund(self, payment: str, amount: Decimal, currency: str, idempotency_key: str) -> Operation:
        """Gives back what was captured, or a part of it. `payment` is the id of the authorization or charge."""

    @abstractmethod
    def transfer(
        self, destination: str, amount: Decimal, currency: str, reference: str, idempotency_key: str
    ) -> Operation:
        """Moves our own money to somebody's account at the provider."""

    @abstractmethod
    def charge_subscription(self, charge: Charge) -> Operation:
        """Authorizes and captures at once, from a payment method on file, while the payer is away."""

    @abstractmethod
    def lookup(self, kind: Kind, idempotency_key: str, within: str = "") -> Operation | None:
        """What was done with this key, or None where nothing was: for when the provider may have forgotten the key.

        within: the authorization or charge that a capture or refund belongs to; a transfer's reference.
        """
