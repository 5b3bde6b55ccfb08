"""The workflows of users call the shared activities `process_user_activity` and `send_email_activity`, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ACTIVITIES: list[Callable[..., Any]] = []
