"""The ledger: entries whose lines sum to zero. Written by `automation.domains.payment.ledger.post`, never changed."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock
from automation.domains.payment.models.fields import currency_field, money_field


class LedgerEntry(models.Model):
    """One thing that happened to money. `key` keeps it from being entered twice."""

    key = models.CharField(max_length=200, unique=True)
    description = models.CharField(max_length=200, blank=True)
    currency = currency_field()
    occurred_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-occurred_at", "-id"]
        verbose_name_plural = "ledger entries"

    def __str__(self) -> str:
        return self.key


class LedgerLine(models.Model):
    """A debit (above zero) or a credit (below). On PostgreSQL a deferred trigger refuses to commit an entry whose lines
    do not sum to zero."""

    entry = models.ForeignKey(LedgerEntry, models.PROTECT, related_name="lines")
    account = models.CharField(max_length=100)
    amount = money_field()

    class Meta:
        ordering = ["entry", "id"]
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="ledger_line_not_zero"),
            models.UniqueConstraint(fields=["entry", "account"], name="ledger_line_once_per_account"),
        ]
        indexes = [models.Index(fields=["account"], name="ledger_line_by_account")]

    def __str__(self) -> str:
        return f"{self.account} {self.amount}"
