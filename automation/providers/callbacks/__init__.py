"""What providers tell of messages after they took them: one module each, by the word in `/api/v1/callbacks/{word}/`."""

from __future__ import annotations

from automation.errors import NotFound
from automation.providers.callbacks.base import BadSignature, Callback, CallbackProvider, DeliveryEvent, Kind
from automation.providers.callbacks.sendgrid import SendGrid
from automation.providers.callbacks.standard import StandardEmail
from automation.providers.callbacks.twilio import Twilio

PROVIDERS: dict[str, CallbackProvider] = {found.name: found for found in (Twilio(), StandardEmail(), SendGrid())}


def provider(name: str) -> CallbackProvider:
    """The one of that name. Raises NotFound, for one whose key is not set too: from outside both look the same."""
    found = PROVIDERS.get(name)
    if found is None or not found.is_configured:
        raise NotFound("There is no such callback.")
    return found


__all__ = ["PROVIDERS", "BadSignature", "Callback", "CallbackProvider", "DeliveryEvent", "Kind", "provider"]
