"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "automation.domains.ops"
    label = "ops"
    verbose_name = "Ops"
