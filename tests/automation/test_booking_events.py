"""Every way of changing a booking records the event that it is, in the same transaction."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F

from automation.causes import caused_by
from automation.models import (
    PLAN_CHANGED,
    Booking,
    BookingEvent,
    BookingStatus,
    Trigger,
    WorkflowExecution,
)
from automation.services import workflow_plans
from tests.automation.factories import NOW, make_booking, make_event_type, make_organizer, make_workflow

pytestmark = pytest.mark.django_db


def triggers(booking: Booking) -> list[str]:
    return list(BookingEvent.objects.filter(booking=booking).order_by("occurred_at").values_list("trigger", flat=True))


def test_it_records_a_new_booking() -> None:
    with caused_by("api"):
        booking = make_booking()
    event = BookingEvent.objects.get()
    assert (event.trigger, event.booking_id, event.source, event.depth) == (
        Trigger.BOOKING_CREATED,
        booking.id,
        "api",
        0,
    )
    assert event.due is not None
    assert event.due > event.occurred_at
    assert event.processed_at is None


@pytest.mark.parametrize(
    ("status", "trigger"),
    [
        (BookingStatus.CANCELLED, Trigger.BOOKING_CANCELLED),
        (BookingStatus.COMPLETED, Trigger.BOOKING_COMPLETED),
        (BookingStatus.NO_SHOW, Trigger.BOOKING_NO_SHOW),
        (BookingStatus.RESCHEDULED, PLAN_CHANGED),
    ],
)
def test_it_records_what_a_status_means(status: str, trigger: str) -> None:
    booking = make_booking()
    booking.status = status
    booking.save()
    assert triggers(booking) == [Trigger.BOOKING_CREATED, trigger]
    booking.save()
    assert len(triggers(booking)) == 2


def test_it_grows_the_sequence_when_the_time_changes_and_only_then() -> None:
    booking = make_booking()
    booking.invitee_name = "Somebody Else"
    booking.save()
    assert (booking.sequence, triggers(booking)) == (0, [Trigger.BOOKING_CREATED])
    booking.end_time += timedelta(minutes=15)
    booking.save(update_fields=["end_time"])
    booking.refresh_from_db()
    assert (booking.sequence, triggers(booking)[1:]) == (1, [Trigger.BOOKING_RESCHEDULED])
    assert BookingEvent.objects.latest("occurred_at").booking_sequence == 1


def test_it_records_nothing_for_a_field_that_is_not_written() -> None:
    booking = make_booking()
    booking.status = BookingStatus.CANCELLED
    booking.save(update_fields=["invitee_name"])
    assert triggers(booking) == [Trigger.BOOKING_CREATED]
    booking.save()
    assert triggers(booking) == [Trigger.BOOKING_CREATED, Trigger.BOOKING_CANCELLED]


def test_it_keeps_a_stale_copy_from_bringing_a_cancelled_meeting_back() -> None:
    booking = make_booking()
    stale = Booking.objects.get(pk=booking.pk)
    booking.status = BookingStatus.CANCELLED
    booking.save()
    stale.meeting_link = "https://meet.example.com/1"
    stale.save()
    row = Booking.objects.get(pk=booking.pk)
    assert (row.status, row.meeting_link) == (BookingStatus.CANCELLED, "https://meet.example.com/1")
    assert triggers(booking) == [Trigger.BOOKING_CREATED, Trigger.BOOKING_CANCELLED]


def test_it_takes_a_booking_that_is_confirmed_again_for_a_new_meeting() -> None:
    booking = make_booking()
    for status in (BookingStatus.CANCELLED, BookingStatus.CONFIRMED, BookingStatus.CANCELLED):
        booking.status = status
        booking.save()
    events = (
        BookingEvent.objects.filter(booking=booking).order_by("occurred_at").values_list("trigger", "booking_sequence")
    )
    assert list(events) == [
        (Trigger.BOOKING_CREATED, 0),
        (Trigger.BOOKING_CANCELLED, 0),
        (PLAN_CHANGED, 1),
        (Trigger.BOOKING_CANCELLED, 1),
    ]


def test_it_tells_nobody_of_a_correction_of_a_meeting_that_is_over() -> None:
    booking = make_booking()
    booking.status, booking.end_time = BookingStatus.COMPLETED, booking.end_time + timedelta(minutes=5)
    booking.save()
    booking.end_time += timedelta(minutes=5)
    booking.save()
    assert triggers(booking) == [Trigger.BOOKING_CREATED, Trigger.BOOKING_COMPLETED, PLAN_CHANGED]
    assert booking.sequence == 2


def test_it_records_a_booking_that_replaces_another_as_a_reschedule() -> None:
    old = make_booking()
    old.status = BookingStatus.RESCHEDULED
    old.save()
    new = make_booking(event_type=old.event_type, rescheduled_from=old)
    assert triggers(old) == [Trigger.BOOKING_CREATED, PLAN_CHANGED]
    assert triggers(new) == [Trigger.BOOKING_RESCHEDULED]


def test_it_commits_and_rolls_back_with_the_booking() -> None:
    class Abandoned(Exception):
        pass

    def book_and_fail() -> None:
        make_booking()
        raise Abandoned

    with pytest.raises(Abandoned), transaction.atomic():
        book_and_fail()
    assert not Booking.objects.exists()
    assert not BookingEvent.objects.exists()


def test_it_records_changes_made_by_expressions() -> None:
    booking = make_booking()
    start = booking.start_time
    booking.start_time, booking.end_time = F("start_time") + timedelta(hours=1), F("end_time") + timedelta(hours=1)
    booking.save()
    assert booking.start_time == start + timedelta(hours=1)
    assert booking.sequence == 1
    assert triggers(booking) == [Trigger.BOOKING_CREATED, Trigger.BOOKING_RESCHEDULED]


def test_it_records_what_a_queryset_updates() -> None:
    event_type = make_booking().event_type
    bookings = [make_booking(event_type=event_type) for _ in range(3)]
    Booking.objects.filter(pk__in=[booking.pk for booking in bookings]).update(status=BookingStatus.CANCELLED)
    assert [triggers(booking)[1:] for booking in bookings] == [[Trigger.BOOKING_CANCELLED]] * 3
    # Once more: nothing changes, nothing is recorded, though the filter still counts its rows.
    assert Booking.objects.filter(status=BookingStatus.CANCELLED).update(status=BookingStatus.CANCELLED) == 3
    assert BookingEvent.objects.filter(trigger=Trigger.BOOKING_CANCELLED).count() == 3


def test_it_grows_the_sequence_when_a_queryset_moves_bookings() -> None:
    booking = make_booking()
    moved = F("start_time") + timedelta(days=1)
    Booking.objects.order_by("invitee_name").update(start_time=moved, end_time=F("end_time") + timedelta(days=1))
    booking.refresh_from_db()
    assert booking.sequence == 1
    assert booking.start_time == NOW + timedelta(days=3)
    assert triggers(booking)[1:] == [Trigger.BOOKING_RESCHEDULED]


def test_it_records_what_bulk_calls_write(django_assert_max_num_queries) -> None:
    event_type = make_booking().event_type
    BookingEvent.objects.all().delete()
    with django_assert_max_num_queries(6):
        made = Booking.objects.bulk_create(make_booking(event_type=event_type, save=False) for _ in range(40))
    assert BookingEvent.objects.filter(trigger=Trigger.BOOKING_CREATED).count() == 40
    for booking in made:
        booking.status = BookingStatus.NO_SHOW
    with django_assert_max_num_queries(8):
        Booking.objects.bulk_update(made, ["status"])
    assert BookingEvent.objects.filter(trigger=Trigger.BOOKING_NO_SHOW).count() == 40


def test_it_records_only_what_a_bulk_create_with_conflicts_made() -> None:
    old = make_booking()
    new = make_booking(event_type=old.event_type, save=False)
    Booking.objects.bulk_create([old, new], ignore_conflicts=True)
    assert triggers(old) == [Trigger.BOOKING_CREATED]
    assert triggers(new) == [Trigger.BOOKING_CREATED]


def test_it_leaves_the_events_of_strangers_alone() -> None:
    booking, other = make_booking(), make_booking(organizer=make_organizer("b@example.com"))
    Booking.objects.filter(organizer=booking.organizer).update(status=BookingStatus.CANCELLED)
    assert triggers(other) == [Trigger.BOOKING_CREATED]


def test_it_says_who_caused_a_change() -> None:
    booking = make_booking()
    with caused_by("workflow", depth=3):
        booking.status = BookingStatus.CANCELLED
        booking.save()
    event = BookingEvent.objects.latest("occurred_at")
    assert (event.source, event.depth, event.caused_by_id) == ("workflow", 3, None)


@pytest.mark.parametrize("way", ["save", "update_fields", "attname", "queryset", "bulk_update", "another organizer"])
def test_it_has_the_plan_looked_at_when_a_booking_is_for_something_else(way: str) -> None:
    booking = make_booking()
    other = make_event_type(name="Other")
    if way == "queryset":
        Booking.objects.update(event_type=other)
    elif way == "another organizer":
        booking.organizer = make_organizer("b@example.com")
        booking.save()
    else:
        booking.event_type = other
        if way == "save":
            booking.save()
        elif way == "bulk_update":
            Booking.objects.bulk_update([booking], ["event_type"])
        else:
            booking.save(update_fields=["event_type" if way == "update_fields" else "event_type_id"])
    assert triggers(booking) == [Trigger.BOOKING_CREATED, PLAN_CHANGED]
    assert Booking.objects.get().sequence == 0
    assert "another event type or organizer" in BookingEvent.objects.get(trigger=PLAN_CHANGED).note
    Booking.objects.get().save()
    assert len(triggers(booking)) == 2


def test_a_stale_copy_keeps_the_event_type_of_the_row() -> None:
    booking = make_booking()
    stale = Booking.objects.select_related("event_type").get(pk=booking.pk)
    booking.event_type = other = make_event_type(name="Other")
    booking.save()
    stale.invitee_name = "Somebody Else"
    stale.save()
    assert (stale.event_type, Booking.objects.get().event_type) == (other, other)
    assert len(triggers(booking)) == 2


def test_it_hears_nothing_of_a_history_that_is_brought_in_by_the_base_manager() -> None:
    old = make_booking(save=False, start_time=NOW - timedelta(days=300), status=BookingStatus.COMPLETED)
    ahead = make_booking(old.event_type, save=False)
    Booking._base_manager.bulk_create([old, ahead])
    assert not BookingEvent.objects.exists()
    reminding = make_workflow(Trigger.BEFORE_MEETING, delay_minutes=60)
    assert workflow_plans.plan_workflow(reminding.pk) == "planned"
    assert list(WorkflowExecution.objects.values_list("booking", "status")) == [(ahead.pk, "pending")]
