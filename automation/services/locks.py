"""Row locks, as far as the database has them."""

from __future__ import annotations

from typing import TypeVar

from django.db import connections, models, router

M = TypeVar("M", bound=models.Model)


def free(rows: models.QuerySet[M]) -> models.QuerySet[M]:
    """`rows` locked until the transaction ends, without those that somebody else has locked."""
    features = connections[router.db_for_write(rows.model)].features
    return rows.select_for_update(of=("self",), skip_locked=features.has_select_for_update_skip_locked)
