"""Leases: at most one holder of a name at a time. Beat holds one, and so does a sweep."""

from __future__ import annotations

from django.db import models


class Lease(models.Model):
    """`seen_at` is the holder's last sign of life; the lease is free once `expires_at` has passed."""

    name = models.CharField(primary_key=True, max_length=100)
    holder = models.CharField(max_length=200)
    seen_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} held by {self.holder}"
