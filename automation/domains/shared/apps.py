"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class SharedConfig(AppConfig):
    name = "automation.domains.shared"
    label = "shared"
    verbose_name = "Shared activities"
