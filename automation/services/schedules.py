"""Periodic tasks: what the code asks for, brought into django-celery-beat's rows without undoing an operator's edits.

What was written to a row is kept in the last line of its description. A field that still holds what was written is
ours and follows the code; one that does not was edited, and stays. A row that is switched off stays off.

The rows are those of all namespaces on the database. They follow the settings of `default` where that syncs them, else
of the namespace that made them: it is in that last line, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

PREFIX = "weir: "
"""Rows whose name begins so are ours; one that the code no longer asks for is deleted."""

_MARK = "\n\nWritten by sync_schedules: "
_DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One periodic task. Exactly one of `every` (seconds) and `crontab` ('minute hour day month weekday', in UTC).

    `queue`: that of the task where None, in the namespace whose beat sends it. `expires`: seconds after which a tick
    that nobody took is void. `enabled`: False makes a row that is switched off, for an operator to switch on.
    """

    name: str
    task: str
    every: float | None = None
    crontab: str | None = None
    args: tuple[Any, ...] = ()
    queue: str | None = None
    priority: int | None = None
    expires: int | None = None
    enabled: bool = True
    description: str = ""

    def __post_init__(self) -> None:
        if (self.every is None) == (self.crontab is None):
            raise ValueError(f"Schedule {self.name!r}: give either every=<seconds> or crontab='0 4 * * *'.")
        if self.every is not None and self.every <= 0:
            raise ValueError(f"Schedule {self.name!r}: every={self.every} must be more than 0 seconds.")
        if self.crontab is not None and len(self.crontab.split()) != 5:
            raise ValueError(
                f"Schedule {self.name!r}: crontab={self.crontab!r} must be 'minute hour day month weekday'."
            )

    @property
    def row_name(self) -> str:
        return PREFIX + self.name

    def wanted(self) -> dict[str, Any]:
        """The row's fields, as plain values."""
        when = f"every {self.every:g} s" if self.every is not None else f"cron {self.crontab} UTC"
        return {
            "task": self.task,
            "schedule": when,
            "args": json.dumps(list(self.args)),
            "queue": self.queue,
            "priority": self.priority,
            "expire_seconds": self.expires,
            "enabled": self.enabled,
            "description": self.description,
        }


@dataclass(frozen=True)
class Change:
    """What `sync` did to one row. `kept`: the fields that it left alone as an operator edited them. `owner`: the other
    namespace whose row it is, so that all of it was left alone."""

    action: Literal["created", "updated", "unchanged", "deleted"]
    name: str
    fields: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    owner: str = ""

    def __str__(self) -> str:
        text = f"{self.action} {self.name!r}"
        if self.fields:
            text += f": {', '.join(self.fields)}"
        if self.kept:
            text += f" (edited by an operator, left alone: {', '.join(self.kept)})"
        return text


def sync(schedules: Iterable[Schedule], *, dry_run: bool = False) -> list[Change]:
    """Create the missing rows, bring the others up to date, delete orphans; all, or in a dry run none of it."""
    wanted = {schedule.row_name: schedule for schedule in schedules}
    with transaction.atomic():
        rows = {row.name: row for row in PeriodicTask.objects.filter(name__startswith=PREFIX).order_by("name")}
        changes = [_sync_one(schedule, rows.get(name)) for name, schedule in sorted(wanted.items())]
        for name, row in rows.items():
            if name in wanted:
                continue
            if owner := _other_owner(_split(row.description)[1]):
                changes.append(Change("unchanged", name, owner=owner))
                continue
            row.delete()
            changes.append(Change("deleted", name))
        if any(change.action != "unchanged" for change in changes):
            PeriodicTasks.update_changed()  # a running beat reads its schedules again
        if dry_run:
            transaction.set_rollback(True)
    return changes


def _sync_one(schedule: Schedule, row: PeriodicTask | None) -> Change:
    wanted = schedule.wanted()
    if row is None:
        row = PeriodicTask(name=schedule.row_name)
        _write(row, wanted, written=wanted | _mark())
        return Change("created", row.name)
    text, written = _split(row.description)
    if owner := _other_owner(written):
        return Change("unchanged", row.name, owner=owner)
    current = {**{name: getattr(row, name) for name in wanted if name != "schedule"}, "description": text}
    current["schedule"] = _when(row)
    changed, kept = [], []
    for name, value in wanted.items():
        if current[name] == value:
            continue
        if name in written and current[name] == written[name]:
            changed.append(name)
        else:
            kept.append(name)
    record = {name: written.get(name) if name in kept else value for name, value in wanted.items()} | _mark()
    if changed or (record != written and written):
        _write(row, {**current, **{name: wanted[name] for name in changed}}, written=record)
    return Change("updated" if changed else "unchanged", row.name, changed, kept)


def _write(row: PeriodicTask, values: dict[str, Any], written: dict[str, Any]) -> None:
    for name, value in values.items():
        if name == "schedule":
            if value != _when(row):
                _set_when(row, value)
        elif name != "description":
            setattr(row, name, value)
    row.description = values["description"] + _MARK + json.dumps(written)
    row.save()


def _split(description: str) -> tuple[str, dict[str, Any]]:
    """The text that people read, and what was last written to the row (nothing, if that line was edited)."""
    text, mark, record = description.rpartition(_MARK)
    if not mark:
        return description, {}
    try:
        written = json.loads(record)
    except ValueError:
        written = None
    return text, written if isinstance(written, dict) else {}


def _mark() -> dict[str, str]:
    """Who wrote a row, for its record; nothing says `default`."""
    here = settings.WORKFLOW_NAMESPACE
    return {} if here == _DEFAULT else {"namespace": here}


def _other_owner(written: dict[str, Any]) -> str:
    """The namespace to which this one leaves a row with that record; '' where the row is ours to write."""
    if not written or settings.WORKFLOW_NAMESPACE == _DEFAULT:
        return ""
    owner = str(written.get("namespace", _DEFAULT))
    return "" if owner == settings.WORKFLOW_NAMESPACE else owner


def _when(row: PeriodicTask) -> str:
    """The row's schedule, in the words of `Schedule.wanted`."""
    if row.interval is not None:
        seconds = row.interval.schedule.run_every.total_seconds()
        return f"every {seconds:g} s"
    if row.crontab is not None:
        cron = row.crontab
        fields = (cron.minute, cron.hour, cron.day_of_month, cron.month_of_year, cron.day_of_week)
        return f"cron {' '.join(fields)} {cron.timezone}"
    return f"solar {row.solar_id}" if row.solar_id else f"clocked {row.clocked_id}" if row.clocked_id else ""


def _set_when(row: PeriodicTask, when: str) -> None:
    row.interval = row.crontab = row.solar = row.clocked = None
    kind, _, rest = when.partition(" ")
    if kind == "every":
        seconds = float(rest.removesuffix(" s"))
        whole = seconds.is_integer()
        row.interval = _one(
            IntervalSchedule,
            every=int(seconds) if whole else round(seconds * 1_000_000),
            period=IntervalSchedule.SECONDS if whole else IntervalSchedule.MICROSECONDS,
        )
    else:
        names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone")
        row.crontab = _one(CrontabSchedule, **dict(zip(names, rest.split(), strict=True)))


def _one(model: Any, **values: Any) -> Any:
    # Nothing keeps these tables free of equal rows, so get_or_create could find two.
    return model.objects.filter(**values).order_by("pk").first() or model.objects.create(**values)
