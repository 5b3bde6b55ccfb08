"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class RoomConfig(AppConfig):
    name = "automation.domains.room"
    label = "room"
    verbose_name = "Room"
