"""The `localstripe` package as a server in a thread, on a free port: somebody else's reading of Stripe's API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from localstripe import resources, server


class LocalStripe:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(server.app, access_log=None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="localstripe", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._up(), self._loop).result(60)

    async def _up(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


@pytest.fixture(scope="session")
def _localstripe() -> Iterator[LocalStripe]:
    resources.Store.dump_to_disk = lambda self: None
    one = LocalStripe()
    yield one
    one.close()


@pytest.fixture
def localstripe(_localstripe: LocalStripe, settings: Any) -> LocalStripe:
    """A localstripe with nothing in it, and settings that choose it."""
    resources.store.clear()
    settings.PAYMENTS_BACKEND = "automation.providers.payments.stripe.StripeBackend"
    settings.STRIPE_API_KEY = "sk_test_weir"
    settings.STRIPE_API_URL = _localstripe.url
    return _localstripe
