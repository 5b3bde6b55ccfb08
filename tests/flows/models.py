"""Rows that test activities write, to be counted."""

from __future__ import annotations

from django.db import models


class Posting(models.Model):
    """One effect of one step. Nothing is unique here: a test that counts two of a key has found a defect."""

    key = models.CharField(max_length=200)
    attempt = models.PositiveIntegerField()
    note = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"{self.key} ({self.attempt})"
