"""What the providers that need no network keep: their rooms, recordings and the like, for anybody to look at."""

from __future__ import annotations

from django.db import models

from automation import clock


class ProviderRecord(models.Model):
    """One thing at a provider of the `memory` kind, which stands in for a real one in development and in tests."""

    provider = models.CharField(max_length=50, help_text="video, …")
    kind = models.CharField(max_length=50, help_text="room, recording, …")
    key = models.CharField(max_length=200, help_text="The provider's name for it.")
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "kind", "key"], name="provider_record_once"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.kind} {self.key}"
