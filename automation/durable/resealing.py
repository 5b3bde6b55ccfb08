"""Stored payloads, written anew as the settings want them: under the newest key, or plain."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from automation.durable import codecs
from automation.models import ExecutionStep, WorkflowExecution

COLUMNS: dict[type[Model], tuple[str, ...]] = {
    WorkflowExecution: ("input", "result", "failure", "memo"),
    ExecutionStep: ("input", "output", "failure", "heartbeat"),
}
"""Where payloads are."""

BATCH = 500


def reseal_all() -> int:
    """Go over all rows, in order of their ids; returns how many texts were written."""
    return sum(_reseal(model, names) for model, names in COLUMNS.items())


def _reseal(model: type[Model], names: tuple[str, ...]) -> int:
    changed = 0
    rows: Any = model._default_manager.order_by("id").values_list("id", *names)
    last: Any = None
    while batch := list((rows if last is None else rows.filter(id__gt=last))[:BATCH]):
        for id_, *texts in batch:
            last = id_
            for name, text in zip(names, texts, strict=True):
                wanted = codecs.reseal(text)
                # Only if nobody has written it meanwhile: what is newer is sealed as the settings want it already.
                if wanted != text:
                    changed += model._default_manager.filter(id=id_, **{name: text}).update(**{name: wanted})
    return changed
