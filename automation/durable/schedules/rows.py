"""Schedules as rows: from the dataclasses to JSON and back, and the row of beat that ticks for one."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from automation.durable import attributes, memos, payloads, routing, run_options
from automation.durable.common import Priority
from automation.durable.definitions import definition_of
from automation.durable.members import arguments, number_of, seconds
from automation.durable.run_options import RunOptions
from automation.durable.schedules.specs import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)
from automation.durable.starts import NewExecution
from automation.models import WorkflowSchedule

TASK = "run_schedule"
PREFIX = "schedule: "
TICK_MINUTES = 1
"""Beat ticks so often for a spec that none of its own schedules can say; the sweep keeps the exact times."""

_CALENDAR_FIELDS = ("second", "minute", "hour", "day_of_month", "month", "year", "day_of_week")


@dataclass(frozen=True)
class Action:
    """What a row says to start: `input` holds the arguments as they stand in an execution's row."""

    workflow: str
    input: str
    id: str
    queue: str
    priority: int
    options: str
    memo: str
    search_attributes: dict[str, Any] | None

    def execution(self, id: str, schedule: uuid.UUID) -> NewExecution:
        return NewExecution(
            self.workflow,
            raw_input=self.input,
            business_id=id,
            queue=self.queue,
            priority=self.priority,
            options=replace(run_options.parse(self.options), schedule=str(schedule)),
            memo=memos.decode(self.memo),
            search_attributes=self.search_attributes,
        )


def write(row: WorkflowSchedule, schedule: Schedule) -> None:
    """Make the row say what the schedule says; it is not saved. Raises TypeError and ValueError for what cannot be."""
    row.spec = _spec_to_json(schedule.spec)
    row.action = asdict(_action(row.schedule_id, schedule.action))
    policy = schedule.policy
    row.policy = {
        "overlap": ScheduleOverlapPolicy(policy.overlap).name,
        "catchup_window": policy.catchup_window.total_seconds(),
        "pause_on_failure": policy.pause_on_failure,
    }
    state = schedule.state
    row.paused, row.note = state.paused, state.note or ""
    row.remaining = state.remaining_actions if state.limited_actions else None


def read(row: WorkflowSchedule) -> Schedule:
    """What `write` wrote."""
    action = action_of(row)
    options = options_of(row)
    limits: dict[str, Any] = {
        name: dt.timedelta(seconds=value) if (value := getattr(options, name)) is not None else None
        for name in ("execution_timeout", "run_timeout", "task_timeout")
    }
    return Schedule(
        action=ScheduleActionStartWorkflow(
            action.workflow,
            args=payloads.decode(action.input) or [],
            id=action.id,
            task_queue=action.queue,
            retry_policy=options.retry,
            memo=memos.decode(action.memo) or None,
            untyped_search_attributes=action.search_attributes,
            static_summary=options.summary or None,
            static_details=options.details or None,
            priority=Priority(priority_key=action.priority or None),
            **limits,
        ),
        spec=spec_of(row),
        policy=policy_of(row),
        state=ScheduleState(
            note=row.note or None,
            paused=row.paused,
            limited_actions=row.remaining is not None,
            remaining_actions=row.remaining or 0,
        ),
    )


def action_of(row: WorkflowSchedule) -> Action:
    return Action(**row.action)


def options_of(row: WorkflowSchedule) -> RunOptions:
    return run_options.parse(action_of(row).options)


def policy_of(row: WorkflowSchedule) -> SchedulePolicy:
    return SchedulePolicy(
        overlap=ScheduleOverlapPolicy[row.policy["overlap"]],
        catchup_window=dt.timedelta(seconds=row.policy["catchup_window"]),
        pause_on_failure=row.policy["pause_on_failure"],
    )


def spec_of(row: WorkflowSchedule) -> ScheduleSpec:
    data = row.spec
    moment = dt.datetime.fromisoformat
    return ScheduleSpec(
        calendars=[_calendar(one) for one in data.get("calendars", [])],
        intervals=[
            ScheduleIntervalSpec(
                dt.timedelta(seconds=one["every"]),
                dt.timedelta(seconds=one["offset"]) if one.get("offset") is not None else None,
            )
            for one in data.get("intervals", [])
        ],
        cron_expressions=data.get("cron_expressions", []),
        skip=[_calendar(one) for one in data.get("skip", [])],
        start_at=moment(data["start_at"]) if data.get("start_at") else None,
        end_at=moment(data["end_at"]) if data.get("end_at") else None,
        jitter=dt.timedelta(seconds=data["jitter"]) if data.get("jitter") else None,
        time_zone_name=data.get("time_zone_name"),
    )


# -- beat --------------------------------------------------------------------------------------------------------------


def tick(row: WorkflowSchedule) -> None:
    """Make the row of django-celery-beat what the schedule is: seen, and switched off, in the admin like any other."""
    spec = spec_of(row)
    task = row.periodic_task or PeriodicTask(name=f"{PREFIX}{row.schedule_id}"[:190] + f" {str(row.id)[-8:]}")
    task.task, task.args, task.enabled = TASK, f'["{row.id}"]', not row.paused
    task.interval = task.crontab = None
    if len(spec.intervals) == 1 and not (spec.calendars or spec.cron_expressions or spec.intervals[0].offset):
        every = spec.intervals[0].every.total_seconds()
        task.interval = _one(IntervalSchedule, every=max(1, round(every)), period=IntervalSchedule.SECONDS)
    elif cron := _crontab(spec):
        task.crontab = _one(CrontabSchedule, **cron)
    else:
        task.interval = _one(IntervalSchedule, every=TICK_MINUTES, period=IntervalSchedule.MINUTES)
    task.description = f"Starts the workflow {row.action['workflow']}; its exact times are in {row}."
    task.save()
    row.periodic_task = task


def untick(row: WorkflowSchedule) -> None:
    """Delete beat's row."""
    if row.periodic_task is not None:
        row.periodic_task.delete()


def _crontab(spec: ScheduleSpec) -> dict[str, str] | None:
    """The one cron expression of a spec as beat's fields; None where there are others, or it says more than they."""
    if len(spec.cron_expressions) != 1 or spec.calendars or spec.intervals:
        return None
    parts = spec.cron_expressions[0].partition("#")[0].split()
    if len(parts) != 5 or (parts[2] not in "*?" and parts[4] not in "*?"):
        return None
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    return {**dict(zip(names, parts, strict=True)), "timezone": spec.time_zone_name or "UTC"}


def _one(model: Any, **values: Any) -> Any:
    # Nothing keeps beat's tables free of equal rows, so get_or_create could find two.
    return model.objects.filter(**values).order_by("pk").first() or model.objects.create(**values)


# -- inside ------------------------------------------------------------------------------------------------------------


def _action(schedule_id: str, action: Any) -> Action:
    if not isinstance(action, ScheduleActionStartWorkflow):
        raise TypeError(f"{action!r} is no action of a schedule: give a ScheduleActionStartWorkflow")
    definition = definition_of(action.workflow)
    given = list(arguments(action.arg, action.args))
    options = RunOptions(
        execution_timeout=seconds(action.execution_timeout),
        run_timeout=seconds(action.run_timeout),
        task_timeout=seconds(action.task_timeout),
        retry=action.retry_policy,
        summary=action.static_summary or "",
        details=action.static_details or "",
    )
    found = attributes.to_row(action.typed_search_attributes or action.untyped_search_attributes)
    return Action(
        workflow=definition.name,
        input=payloads.encode(given, f"arguments of workflow {definition.name!r}"),
        id=action.id or schedule_id,
        queue=action.task_queue or routing.queue_of(definition),
        priority=number_of(action.priority),
        options=options.dump(),
        memo=payloads.encode(dict(action.memo), "memo") if action.memo else "",
        search_attributes=found,
    )


def _spec_to_json(spec: ScheduleSpec) -> dict[str, Any]:
    data: dict[str, Any] = {
        "calendars": [_calendar_to_json(one) for one in spec.calendars],
        "intervals": [{"every": one.every.total_seconds(), "offset": seconds(one.offset)} for one in spec.intervals],
        "cron_expressions": list(spec.cron_expressions),
        "skip": [_calendar_to_json(one) for one in spec.skip],
        "start_at": spec.start_at.isoformat() if spec.start_at else None,
        "end_at": spec.end_at.isoformat() if spec.end_at else None,
        "jitter": seconds(spec.jitter),
        "time_zone_name": spec.time_zone_name,
    }
    return {name: value for name, value in data.items() if value}


def _calendar_to_json(calendar: ScheduleCalendarSpec) -> dict[str, Any]:
    fields = {name: [[one.start, one.end, one.step] for one in getattr(calendar, name)] for name in _CALENDAR_FIELDS}
    return fields | ({"comment": calendar.comment} if calendar.comment else {})


def _calendar(data: Mapping[str, Any]) -> ScheduleCalendarSpec:
    fields: dict[str, Any] = {name: tuple(ScheduleRange(*one) for one in data[name]) for name in _CALENDAR_FIELDS}
    return ScheduleCalendarSpec(**fields, comment=data.get("comment"))
