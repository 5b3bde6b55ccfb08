"""Which moments a schedule's spec means."""

from __future__ import annotations

import datetime as dt
from itertools import islice

import pytest
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st

from automation.durable.client import (
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleRange,
    ScheduleSpec,
)
from automation.durable.schedules import times

UTC = dt.UTC


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=UTC)


def following(spec: ScheduleSpec, after: str, count: int = 3) -> list[str]:
    found = islice(times.between(spec, at(after), at("2100-01-01")), count)
    return [moment.strftime("%Y-%m-%d %H:%M:%S") for moment in found]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 12 * * *", ["2027-01-01 12:00:00", "2027-01-02 12:00:00", "2027-01-03 12:00:00"]),
        ("*/20 8-9 * * *", ["2027-01-01 08:00:00", "2027-01-01 08:20:00", "2027-01-01 08:40:00"]),
        ("0 0 * * mon-fri", ["2027-01-04 00:00:00", "2027-01-05 00:00:00", "2027-01-06 00:00:00"]),
        ("0 0 * * 7", ["2027-01-03 00:00:00", "2027-01-10 00:00:00", "2027-01-17 00:00:00"]),
        ("0 0 13 * fri", ["2027-01-08 00:00:00", "2027-01-13 00:00:00", "2027-01-15 00:00:00"]),  # either suffices
        ("0 0 29 feb *", ["2028-02-29 00:00:00", "2032-02-29 00:00:00", "2036-02-29 00:00:00"]),
        ("30 5,17 * * *", ["2027-01-01 05:30:00", "2027-01-01 17:30:00", "2027-01-02 05:30:00"]),
        ("@monthly", ["2027-02-01 00:00:00", "2027-03-01 00:00:00", "2027-04-01 00:00:00"]),
        ("@every 90m", ["2027-01-01 01:30:00", "2027-01-01 03:00:00", "2027-01-01 04:30:00"]),
        ("CRON_TZ=Asia/Tokyo 0 9 * * *", ["2027-01-02 00:00:00", "2027-01-03 00:00:00", "2027-01-04 00:00:00"]),
        ("0 0 1 1 * 2029", ["2029-01-01 00:00:00"]),
        ("15 0 0 1 1 * 2029  # with a second", ["2029-01-01 00:00:15"]),
    ],
)
def test_cron_expressions(expression: str, expected: list[str]) -> None:
    assert following(ScheduleSpec(cron_expressions=[expression]), "2027-01-01 00:00:00") == expected


@given(
    minute=st.sampled_from(["*", "0", "*/7", "5-50/9", "1,58"]),
    hour=st.sampled_from(["*", "3", "*/5", "22-23"]),
    day=st.sampled_from(["*", "1", "31", "10-20"]),
    month=st.sampled_from(["*", "2", "4,6"]),
    since=st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2030, 1, 1)),
)
def test_it_agrees_with_celery_s_crontab(minute: str, hour: str, day: str, month: str, since: dt.datetime) -> None:
    since = since.replace(tzinfo=UTC, microsecond=0)
    expression = f"{minute} {hour} {day} {month} *"
    try:
        ours = times.next_cron(expression, since)
    except ValueError:
        return  # 31 April, which Celery looks for without an end
    theirs = crontab(minute, hour, "*", day, month, nowfun=lambda: since)
    assert ours == since + theirs.remaining_estimate(since)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("* * * *", "has 4 fields, expected 5"),
        ("60 * * * *", "'60' is no minute; expected 0 to 59"),
        ("* * * * someday", "'someday' is no day of week; expected 0 to 7, or sun, mon"),
        ("*/0 * * * *", "'0' is no step of the minute"),
        ("5-1 * * * *", "'5-1' ends before it begins"),
        ("@fortnightly", "expected one of @yearly"),
        ("@every soon", "'soon' is no length of time such as 90s"),
        ("TZ=Mars/Olympus 0 0 * * *", "'Mars/Olympus' is not a time zone"),
    ],
)
def test_it_says_what_is_wrong_with_a_cron_expression(expression: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        times.check(ScheduleSpec(cron_expressions=[expression]))
    assert problem in str(caught.value)


def test_a_spec_that_never_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="it would never start"):
        times.check(ScheduleSpec())
    with pytest.raises(ValueError, match="never comes"):
        times.next_cron("0 0 31 4 *", at("2027-01-01 00:00:00"))


def test_calendars_intervals_and_skips_come_together() -> None:
    spec = ScheduleSpec(
        calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(9)], day_of_week=[ScheduleRange(1, 5)])],
        intervals=[ScheduleIntervalSpec(dt.timedelta(hours=12), dt.timedelta(hours=1))],
        skip=[
            ScheduleCalendarSpec(
                hour=[ScheduleRange(0, 23)], day_of_month=[ScheduleRange(4)], minute=[ScheduleRange(0, 59)]
            )
        ],
    )  # 2027-01-04 is a Monday
    assert following(spec, "2027-01-03 12:00:00", 5) == [
        "2027-01-03 13:00:00",
        "2027-01-05 01:00:00",
        "2027-01-05 09:00:00",
        "2027-01-05 13:00:00",
        "2027-01-06 01:00:00",
    ]


def test_it_keeps_to_its_beginning_and_end() -> None:
    spec = ScheduleSpec(
        cron_expressions=["0 0 * * *"], start_at=at("2027-03-01 00:00:00"), end_at=at("2027-03-02 00:00:00")
    )
    assert following(spec, "2027-01-01 00:00:00") == ["2027-03-01 00:00:00", "2027-03-02 00:00:00"]


def test_clock_changes_leave_out_what_does_not_exist_and_double_nothing() -> None:
    spec = ScheduleSpec(cron_expressions=["30 2 * * *"], time_zone_name="Europe/Paris")
    # 2027-03-28: 02:30 does not exist in Paris; 2027-10-31: it comes twice.
    assert following(spec, "2027-03-26 12:00:00") == [
        "2027-03-27 01:30:00",
        "2027-03-29 00:30:00",
        "2027-03-30 00:30:00",
    ]
    assert following(spec, "2027-10-30 12:00:00", 2) == ["2027-10-31 00:30:00", "2027-11-01 01:30:00"]


def test_jitter_is_the_same_for_the_same_moment_and_within_its_bound() -> None:
    spec = ScheduleSpec(cron_expressions=["* * * * *"], jitter=dt.timedelta(minutes=5))
    moments = list(islice(times.between(spec, at("2027-01-01 00:00:00"), at("2028-01-01 00:00:00")), 50))
    found = [times.jitter(spec, "one", moment) for moment in moments]
    assert found == [times.jitter(spec, "one", moment) for moment in moments]
    assert all(dt.timedelta(0) <= one < dt.timedelta(minutes=5) for one in found)
    assert len(set(found)) == 50
