"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class StreamConfig(AppConfig):
    name = "automation.domains.stream"
    label = "stream"
    verbose_name = "Stream"
