"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class UserConfig(AppConfig):
    name = "automation.domains.user"
    label = "user"
    verbose_name = "User"
