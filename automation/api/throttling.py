"""Rates per user and per anonymous address: API_THROTTLE_USER and API_THROTTLE_ANON.

The counts are kept in Django's cache, in the process's memory by default: a rate then holds for each web process.
"""

from __future__ import annotations

from django.conf import settings
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle


class UserThrottle(UserRateThrottle):
    def get_rate(self) -> str | None:
        rate: str = settings.API_THROTTLE_USER
        return None if rate == "off" else rate


class AnonymousThrottle(AnonRateThrottle):
    def get_rate(self) -> str | None:
        rate: str = settings.API_THROTTLE_ANON
        return None if rate == "off" else rate
