"""Tasks that the tests of this package run in workers."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import shared_task

from automation import clock
from automation.models import User


@shared_task(name="tests.house.sign_up")
def sign_up(email: str) -> None:
    """Writes a row that says which process, and what time it believes it is."""
    User.objects.create_user(email, first_name=str(os.getpid()), last_name=str(clock.timestamp()))


@shared_task(name="tests.house.linger", bind=True)
def linger(self: Any, seconds: float) -> None:
    User.objects.create_user("lingers@example.com", first_name=str(os.getpid()))
    time.sleep(seconds)
    User.objects.create_user("lingered@example.com", first_name=str(os.getpid()))
