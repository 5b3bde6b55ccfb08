"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class PractitionerConfig(AppConfig):
    name = "automation.domains.practitioner"
    label = "practitioner"
    verbose_name = "Practitioner"
