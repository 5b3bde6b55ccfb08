"""How many requests an address may make of the pages that need no signing in: API_THROTTLE_ANON, counted apart.

The counts are in Django's cache, in the process's memory by default: the rate then holds for each web process.
"""

from __future__ import annotations

import math
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle


class PageThrottle(SimpleRateThrottle):
    """By address, as the API counts them (API_PROXIES)."""

    scope = "pages"

    def get_rate(self) -> str | None:
        rate: str = settings.API_THROTTLE_ANON
        return None if rate == "off" else rate

    def get_cache_key(self, request: Request, view: Any) -> str:
        return f"throttle_pages_{self.get_ident(request)}"


def seconds_to_wait(request: HttpRequest) -> int:
    """Count this request; 0 where it may go on, else after how long the next one may."""
    throttle = PageThrottle()
    # It reads the address from `META`, which is the same in both kinds of request.
    if throttle.allow_request(cast(Request, request), cast(Any, None)):
        return 0
    return max(1, math.ceil(throttle.wait() or 1))
