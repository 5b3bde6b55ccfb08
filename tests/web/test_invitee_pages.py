"""What invitees do by the links of their messages: cancelling, choosing another time, saying how it was."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from automation import clock
from automation.actions.invocation import context_of
from automation.domains.booking import feedback, letters
from automation.domains.booking.models import Feedback, Follower
from automation.models import (
    Booking,
    BookingAuditLog,
    BookingEvent,
    BookingStatus,
    ExecutionStep,
    Trigger,
    User,
    WorkflowExecution,
)
from automation.services import bookings, invitees, triggers
from automation.services.invitees import MAX_TEXT
from automation.web.pages import FORM_KEY, form_key
from tests.automation.factories import make_booking, make_event_type, make_organizer, make_workflow

PAGES = ("cancel", "reschedule", "feedback")
NOW = dt.datetime(2026, 10, 20, 12, 0, tzinfo=dt.UTC)
"""A Tuesday; clocks are put back in Madrid on the Sunday after it, and forward on 28 March 2027."""


@pytest.fixture(autouse=True)
def now(db: None) -> Iterator[dt.datetime]:
    cache.clear()
    hold(NOW)
    yield NOW
    clock.let_go()


@pytest.fixture
def booking(now: dt.datetime) -> Booking:
    return make_booking(
        make_event_type(make_organizer(), "Talk <b>first</b>"),
        start_time=dt.datetime(2026, 10, 22, 7, 30, tzinfo=dt.UTC),
        invitee_timezone="Europe/Madrid",
    )


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def hold(moment: dt.datetime) -> None:
    """It is that moment now."""
    clock.hold(moment.timestamp())


def path(booking: Booking, page: str) -> str:
    return f"/b/{booking.access_token}/{page}/"


def send(browser: Client, booking: Booking, page: str, **fields: Any) -> tuple[int, str]:
    """POST what the page's form holds; the status and the text of the answer."""
    response = browser.post(path(booking, page), {FORM_KEY: form_key(booking.access_token), **fields})
    return response.status_code, html.unescape(response.content.decode())


def text(browser: Client, booking: Booking, page: str) -> str:
    response = browser.get(path(booking, page))
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def give_status(booking: Booking, status: str) -> None:
    Booking._base_manager.filter(pk=booking.pk).update(status=status)


# --- All of them ------------------------------------------------------------------------------------------------------


def test_every_link_that_a_message_can_hold_is_served(browser: Client, booking: Booking, settings: Any) -> None:
    context = context_of(booking, NOW)
    urls = [value for name, value in context.items() if name.endswith("_url")]
    assert len(urls) == len(PAGES)
    for kind in letters.KINDS:
        body = letters.compose(booking, kind, "invitee", NOW).body
        urls += [word for word in body.split() if word.startswith(settings.PUBLIC_URL)]
    paths = {url.removeprefix(settings.PUBLIC_URL) for url in urls}
    assert paths == {path(booking, page) for page in PAGES}
    for each in paths:
        assert browser.get(each).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_a_get_shows_and_changes_nothing(browser: Client, booking: Booking, page: str) -> None:
    before = Booking.objects.values().get(pk=booking.pk)
    assert browser.head(path(booking, page)).content == b""
    shown = browser.get(path(booking, page) + "?reason=x&start=2026-10-23T10:00&rating=5")
    assert shown.status_code == 200
    source = shown.content.decode()
    assert "Talk &lt;b&gt;first&lt;/b&gt;" in source
    for words in ("Olga", "Thursday, 22 October 2026", "09:30 – 10:00", "Europe/Madrid (CEST, UTC+2)"):
        assert words in html.unescape(source)
    assert not shown.cookies
    assert Booking.objects.values().get(pk=booking.pk) == before
    assert not BookingAuditLog.objects.exists()
    assert not Feedback.objects.exists()


@pytest.mark.parametrize("page", PAGES)
def test_what_the_headers_hold_back(browser: Client, booking: Booking, page: str) -> None:
    response = browser.get(path(booking, page))
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["X-Robots-Tag"] == "noindex"
    assert response["X-Frame-Options"] == "DENY"
    assert "no-store" in response["Cache-Control"]
    policy = response["Content-Security-Policy"]
    source = response.content.decode()
    nonce = source.split('<style nonce="')[1].split('"')[0]
    assert policy.startswith("default-src 'none';")
    assert f"style-src 'nonce-{nonce}';" in policy
    assert "unsafe" not in policy
    assert "<script" not in source
    assert "style=" not in source
    assert "//" not in source
    assert browser.get(path(booking, page))["Content-Security-Policy"] != policy  # a nonce is used once


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("method", ["get", "head", "post"])
def test_a_link_that_is_not_ours(browser: Client, booking: Booking, page: str, method: str) -> None:
    token = booking.access_token
    forged = (
        "x",
        token[:-1],
        f"{token}x",
        token.swapcase(),
        "%00",
        f"{token}%00",
        "é",
        "%ff",
        "a" * 5000,
        "..;",
        "%27",
    )
    for each in forged:
        fields = {FORM_KEY: form_key(each), "start": "2026-10-23T10:00", "rating": "1"} if method == "post" else {}
        response = getattr(browser, method)(f"/b/{each}/{page}/", fields)
        assert response.status_code in ((403, 404) if method == "post" else (404,)), each
        if method == "get":
            assert "There is no booking behind it." in response.content.decode()
    booking.refresh_from_db()
    assert booking.status == BookingStatus.CONFIRMED


@pytest.mark.parametrize("page", PAGES)
def test_a_form_of_another_site_or_of_another_booking_does_nothing(
    browser: Client, booking: Booking, page: str
) -> None:
    other = make_booking(booking.event_type, start_time=NOW + dt.timedelta(days=9))
    fields = {"reason": "x", "start": "2026-10-23T10:00", "rating": "1"}
    for key in ("", "x", "\x00", "é", form_key(other.access_token), form_key(booking.access_token) + "x"):
        response = browser.post(path(booking, page), {**fields, FORM_KEY: key})
        assert response.status_code == 403
        assert "Nothing has been changed." in response.content.decode()
    assert browser.post(path(booking, page), b"\xff\x00", content_type="text/plain").status_code == 403
    assert not BookingAuditLog.objects.exists()
    assert browser.put(path(booking, page)).status_code == 405


@pytest.mark.parametrize("page", PAGES)
def test_an_address_that_asks_too_often_waits(browser: Client, booking: Booking, settings: Any, page: str) -> None:
    settings.API_THROTTLE_ANON = "2/min"
    for token in (booking.access_token, "x"):
        browser.get(f"/b/{token}/{page}/")
    response = browser.post(path(booking, page), {FORM_KEY: form_key(booking.access_token)})
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= 60
    assert "Please try again in" in response.content.decode()
    assert browser.get(path(booking, page), REMOTE_ADDR="192.0.2.7").status_code == 200


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("status", BookingStatus.values)
def test_it_asks_a_few_queries_whatever_there_is(browser: Client, booking: Booking, page: str, status: str) -> None:
    for day in range(1, 4):
        make_booking(booking.event_type, start_time=NOW + dt.timedelta(days=day), rescheduled_from=booking)
    give_status(booking, status)
    with CaptureQueriesContext(connection) as asked:
        assert browser.get(path(booking, page)).status_code == 200
    assert len(asked) <= 3


# --- Cancelling -------------------------------------------------------------------------------------------------------


def test_it_cancels_as_the_invitee_with_a_reason(browser: Client, booking: Booking) -> None:
    assert "Cancel this booking?" in text(browser, booking, "cancel")
    status, answer = send(browser, booking, "cancel", reason=" I am ill,\r\nsorry\x00 ")
    assert status == 200
    assert "This booking is cancelled" in answer
    booking.refresh_from_db()
    assert (booking.status, booking.cancellation_reason) == ("cancelled", "I am ill,\nsorry\ufffd")
    assert booking.cancelled_by == "invitee"
    entry = BookingAuditLog.objects.get()
    assert (entry.action, entry.actor) == ("cancelled", "invitee")
    assert BookingEvent.objects.get(trigger=Trigger.BOOKING_CANCELLED).source == "web"


def test_cancelling_twice_is_cancelling_once(browser: Client, booking: Booking) -> None:
    send(browser, booking, "cancel", reason="first")
    status, answer = send(browser, booking, "cancel", reason="second")
    assert status == 200
    assert "Your reason: first" in answer
    assert "This booking is cancelled" in text(browser, booking, "cancel")
    assert BookingAuditLog.objects.count() == 1
    assert BookingEvent.objects.filter(trigger=Trigger.BOOKING_CANCELLED).count() == 1


def test_a_reason_that_is_too_long_is_kept_for_mending(browser: Client, booking: Booking) -> None:
    status, answer = send(browser, booking, "cancel", reason="é" * (MAX_TEXT + 1))
    assert status == 400
    assert "5,001 characters long: at most 5,000 fit" in answer
    assert "é" * (MAX_TEXT + 1) in answer
    booking.refresh_from_db()
    assert booking.status == BookingStatus.CONFIRMED
    assert send(browser, booking, "cancel", reason="\r\n".join("x" * (MAX_TEXT // 2)))[0] == 200


@pytest.mark.parametrize(
    ("status", "words"),
    [("completed", "It is over."), ("no_show", "noted as missed"), ("rescheduled", "has been replaced")],
)
def test_what_cannot_be_cancelled_says_why(browser: Client, booking: Booking, status: str, words: str) -> None:
    give_status(booking, status)
    assert words in text(browser, booking, "cancel")
    code, answer = send(browser, booking, "cancel")
    assert (code, words in answer) == (409, True)
    booking.refresh_from_db()
    assert booking.status == status


def test_what_has_begun_is_not_cancelled(browser: Client, booking: Booking) -> None:
    for moment, words in ((booking.start_time, "It has begun"), (booking.end_time, "It is over.")):
        hold(moment)
        assert words in send(browser, booking, "cancel")[1]
        assert words in send(browser, booking, "reschedule", start="2026-10-23T10:00")[1]
    assert not BookingAuditLog.objects.exists()


@pytest.mark.parametrize("page", PAGES)
def test_a_replaced_booking_leads_to_the_newer_one(browser: Client, booking: Booking, page: str) -> None:
    stranger = make_booking(
        booking.event_type,
        start_time=NOW + dt.timedelta(days=3),
        rescheduled_from=booking,
        invitee_email="x@example.com",
    )
    give_status(booking, BookingStatus.RESCHEDULED)
    assert stranger.access_token not in text(browser, booking, page)
    newer = make_booking(booking.event_type, start_time=NOW + dt.timedelta(days=4), rescheduled_from=booking)
    assert f'href="{path(newer, page)}"' in text(browser, booking, page)


def test_automations_follow_as_from_the_api(browser: Client) -> None:
    """The same events, the same executions, the same ones stopped."""
    organizer = make_organizer()
    event_type = make_event_type(organizer)
    for trigger in Trigger.values:
        make_workflow(trigger, organizer)

    def outcome(cancel: Any, day: int) -> tuple[list[Any], list[Any]]:
        made = make_booking(event_type, start_time=NOW + dt.timedelta(days=day))
        process()
        cancel(made)
        process()
        events = BookingEvent.objects.filter(booking=made).order_by("occurred_at", "pk")
        executions = WorkflowExecution.objects.filter(booking=made).order_by("workflow__trigger")
        return list(events.values_list("trigger", "depth", "note")), list(
            executions.values_list("workflow__trigger", "status", "error_message")
        )

    def by_api(made: Booking) -> None:
        client = Client()
        client.force_login(organizer)
        answer = client.post(f"/api/v1/bookings/{made.pk}/cancel/", {"reason": "Ill"}, content_type="application/json")
        assert answer.status_code == 200

    def by_page(made: Booking) -> None:
        assert send(browser, made, "cancel", reason="Ill")[0] == 200

    pages = outcome(by_page, 5)
    assert pages == outcome(by_api, 6)
    assert (Trigger.BOOKING_CANCELLED, 0, "") in pages[0]
    assert Trigger.BOOKING_CANCELLED in [trigger for trigger, _, _ in pages[1]]


def process() -> None:
    triggers.process(list(BookingEvent.objects.filter(processed_at__isnull=True).values_list("pk", flat=True)))


# --- Another time -----------------------------------------------------------------------------------------------------


def test_it_moves_to_the_time_on_the_invitee_s_clock(browser: Client, booking: Booking) -> None:
    assert 'value="2026-10-22T09:30"' in text(browser, booking, "reschedule")
    status, answer = send(browser, booking, "reschedule", start="2026-10-26T09:15")
    assert status == 200
    assert "Monday, 26 October 2026" in answer
    assert "09:15 – 09:45" in answer
    assert "(CET, UTC+1)" in answer
    booking.refresh_from_db()
    assert booking.start_time == dt.datetime(2026, 10, 26, 8, 15, tzinfo=dt.UTC)
    assert booking.duration_minutes == 30
    entry = BookingAuditLog.objects.get()
    assert (entry.action, entry.actor) == ("rescheduled", "invitee")
    # Again, and in another way of writing: nothing new.
    assert send(browser, booking, "reschedule", start=" 2026-10-26 09:15:00 ")[0] == 200
    assert BookingEvent.objects.filter(trigger=Trigger.BOOKING_RESCHEDULED).count() == 1


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "Choose a date and a time."),
        ("tomorrow", "'tomorrow' is no date with a time"),
        ("2026-02-30T10:00", "on a day that there is"),
        ("2026-10-23T24:00", "is no date with a time"),
        ("٢٠٢٦-10-23T10:00", "is no date with a time"),
        ("2026-10-23T10:00+05:00", "is no date with a time"),
        ("2026-10-23T10:00\x00", "is no date with a time"),
        ("9" * 100_000, "is no date with a time"),
        ("0001-01-01T00:00", "year 1 is out of range"),
        ("9999-12-31T23:59", "year 9999 is out of range"),
        ("2026-10-20T14:00", "has passed: it is Tuesday, 20 October 2026, 14:00 CEST now"),
        ("2027-10-24T10:00", "too far ahead: choose a time until Saturday, 23 October 2027, 09:30 CEST"),
        ("2027-03-28T02:30", "02:30 on 28 March 2027 does not exist in Europe/Madrid: the clocks are put forward"),
        ("2027-03-28T02:30", "Choose 01:30 or 03:30"),
    ],
)
def test_a_time_that_will_not_do_is_answered_in_words(
    browser: Client, booking: Booking, typed: str, words: str
) -> None:
    status, answer = send(browser, booking, "reschedule", start=typed)
    assert status == 400
    assert words in answer
    assert 'role="alert"' in answer
    if typed and "\x00" not in typed:
        assert f'value="{typed}"' in answer
    assert not BookingAuditLog.objects.exists()


def test_a_time_that_comes_twice_is_asked_about(browser: Client, booking: Booking) -> None:
    status, answer = send(browser, booking, "reschedule", start="2026-10-25T02:30")
    assert status == 400
    assert "02:30 on 25 October 2026 comes twice in Europe/Madrid" in answer
    assert "the first 02:30 (CEST, UTC+2)" in answer
    assert "the second 02:30 (CET, UTC+1)" in answer
    assert not BookingAuditLog.objects.exists()
    for fold, hour in (("0", 0), ("1", 1)):
        assert send(browser, booking, "reschedule", start="2026-10-25T02:30", fold=fold)[0] == 200
        booking.refresh_from_db()
        assert booking.start_time == dt.datetime(2026, 10, 25, hour, 30, tzinfo=dt.UTC)
    assert send(browser, booking, "reschedule", start="2026-10-25T02:31", fold="x")[0] == 400


def test_a_taken_time_is_refused_without_saying_by_whom(browser: Client, booking: Booking) -> None:
    make_booking(
        booking.event_type, start_time=dt.datetime(2026, 10, 23, 8, 0, tzinfo=dt.UTC), invitee_name="Secret Person"
    )
    for start in ("2026-10-23T10:00", "2026-10-23T09:45", "2026-10-23T10:29"):
        status, answer = send(browser, booking, "reschedule", start=start)
        assert (status, "Olga has another meeting then." in answer) == (400, True)
        assert "Secret" not in answer
    assert send(browser, booking, "reschedule", start="2026-10-23T10:30")[0] == 200
    assert send(browser, booking, "reschedule", start="2026-10-23T10:45")[0] == 200  # its own time is no obstacle


@pytest.mark.parametrize("status", ["cancelled", "completed", "rescheduled"])
def test_what_cannot_be_moved_says_so(browser: Client, booking: Booking, status: str) -> None:
    give_status(booking, status)
    assert "cannot be moved any more" in text(browser, booking, "reschedule")
    assert send(browser, booking, "reschedule", start="2026-10-23T10:00")[0] == 409
    assert Booking.objects.count() == 1


def test_who_missed_a_meeting_chooses_another_time_once(browser: Client, booking: Booking) -> None:
    hold(NOW + dt.timedelta(days=4))
    bookings.no_show(booking.pk)
    assert "You missed this one" in text(browser, booking, "reschedule")
    status, answer = send(browser, booking, "reschedule", start="2026-10-27T10:00")
    newer = Booking.objects.get(rescheduled_from=booking)
    assert status == 200
    assert "Tuesday, 27 October 2026" in answer
    assert path(newer, "cancel") in answer
    assert (newer.status, newer.invitee_email, newer.duration_minutes) == ("confirmed", booking.invitee_email, 30)
    assert BookingEvent.objects.get(booking=newer).trigger == Trigger.BOOKING_RESCHEDULED
    assert BookingAuditLog.objects.get(booking=newer).actor == "invitee"
    status, answer = send(browser, booking, "reschedule", start="2026-10-28T10:00")
    assert (status, path(newer, "reschedule") in answer) == (409, True)
    assert Booking.objects.filter(rescheduled_from=booking).count() == 1


def test_an_event_type_that_is_off_takes_no_new_booking(browser: Client, booking: Booking) -> None:
    give_status(booking, BookingStatus.NO_SHOW)
    booking.event_type.is_active = False
    booking.event_type.save()
    status, answer = send(browser, booking, "reschedule", start="2026-10-27T10:00")
    assert (status, "switched off and takes no bookings" in answer) == (400, True)
    assert 'value="2026-10-27T10:00"' in answer


def test_a_zone_that_nobody_knows_is_utc(browser: Client, booking: Booking) -> None:
    Booking._base_manager.filter(pk=booking.pk).update(invitee_timezone="Mars/Olympus")
    assert "07:30 – 08:00" in text(browser, booking, "reschedule")
    assert send(browser, booking, "reschedule", start="2026-10-27T10:00")[0] == 200
    booking.refresh_from_db()
    assert booking.start_time.hour == 10


# --- Feedback ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def over(booking: Booking) -> Booking:
    hold(NOW + dt.timedelta(days=4))
    return bookings.complete(booking.pk)


def test_feedback_is_noted_shown_and_changed_for_a_while(browser: Client, over: Booking) -> None:
    BookingAuditLog.objects.all().delete()
    assert "How was it?" in text(browser, over, "feedback")
    status, answer = send(browser, over, "feedback", rating="4", comment="<script>alert(1)</script>\x00")
    assert status == 200
    assert "Thank you!" in answer
    given = Feedback.objects.get()
    assert (given.rating, given.comment) == (4, "<script>alert(1)</script>\ufffd")
    assert "<script" not in browser.get(path(over, "feedback")).content.decode()
    assert 'value="4" required checked' in text(browser, over, "feedback")
    send(browser, over, "feedback", rating="4", comment="<script>alert(1)</script>\x00")
    send(browser, over, "feedback", rating="5", comment="<script>alert(1)</script>\x00")
    entries = BookingAuditLog.objects.order_by("pk").values_list("action", "actor", "old_values", "new_values")
    assert list(entries)[1:] == [("feedback_changed", "invitee", {"rating": 4}, {"rating": 5})]
    assert entries[0][:2] == ("feedback_given", "invitee")
    hold(given.submitted_at + feedback.CHANGEABLE)
    assert "can no longer be changed" in text(browser, over, "feedback")
    assert "What you said before stays" in send(browser, over, "feedback", rating="1")[1]
    assert Feedback.objects.get().rating == 5


@pytest.mark.parametrize("rating", ["", "0", "6", "-1", "4.5", "five", "٣", "5\x00", "1" * 10_000])
def test_a_rating_is_one_of_five(browser: Client, over: Booking, rating: str) -> None:
    status, answer = send(browser, over, "feedback", rating=rating, comment="so-so")
    assert status == 400
    assert "Choose one of the five" in answer
    assert "so-so</textarea>" in answer
    assert not Feedback.objects.exists()


def test_a_comment_that_is_too_long_is_kept_for_mending(browser: Client, over: Booking) -> None:
    status, answer = send(browser, over, "feedback", rating="2", comment="x" * (MAX_TEXT + 1))
    assert (status, "at most 5,000 fit" in answer) == (400, True)
    assert 'value="2" required checked' in answer


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("confirmed", "It has not taken place yet"),
        ("cancelled", "did not take place"),
        ("no_show", "noted as missed"),
        ("rescheduled", "has been replaced"),
    ],
)
def test_feedback_is_about_what_took_place(browser: Client, booking: Booking, status: str, words: str) -> None:
    give_status(booking, status)
    assert words in text(browser, booking, "feedback")
    code, answer = send(browser, booking, "feedback", rating="5")
    assert (code, words in answer) == (409, True)
    assert not Feedback.objects.exists()


def test_workflows_that_wait_for_feedback_hear_of_it_once(
    browser: Client, over: Booking, django_capture_on_commit_callbacks: Any
) -> None:
    execution = WorkflowExecution.objects.create(definition="BookingWorkflow", booking=over, organizer=over.organizer)
    Follower.objects.create(booking=over, execution=execution)
    for rating in ("3", "4"):
        with django_capture_on_commit_callbacks(execute=True):
            assert send(browser, over, "feedback", rating=rating)[0] == 200
    assert [step.name for step in ExecutionStep.objects.filter(execution=execution)] == ["feedback_given"]


# --- The service's bounds ---------------------------------------------------------------------------------------------


def test_an_organizer_without_a_name_is_still_somebody(browser: Client, booking: Booking) -> None:
    User.objects.filter(pk=booking.organizer_id).update(first_name="", company="Acme")
    assert "Acme" in text(browser, booking, "cancel")


def test_a_far_booking_may_stay_far(browser: Client, booking: Booking) -> None:
    Booking._base_manager.filter(pk=booking.pk).update(
        start_time=NOW + dt.timedelta(days=800), end_time=NOW + dt.timedelta(days=800, hours=1)
    )
    booking.refresh_from_db()
    assert invitees.farthest(booking) == NOW + dt.timedelta(days=800) + invitees.FARTHEST
    assert send(browser, booking, "reschedule", start="2028-12-30T10:00")[0] == 200
