"""The pages behind the links in messages to invitees: cancelling, choosing another time, and saying how it was.

A GET shows, and changes nothing: mail programs and virus scanners follow links. A POST acts, for whoever has the link;
doing it again changes nothing.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from automation import clock
from automation.domains.booking import feedback as sessions
from automation.errors import InvalidInput
from automation.models import Booking
from automation.rules.template_text import format_date, format_duration
from automation.rules.values import storable, zone
from automation.services import invitees, wall_clock
from automation.services.invitees import MAX_TEXT, State
from automation.web.pages import behind_a_token, form_key, page

RATINGS = {"1": "poor", "2": "fair", "3": "good", "4": "great", "5": "superb"}


@behind_a_token
def cancel(request: HttpRequest, token: str) -> HttpResponse:
    """Asks for a reason, and cancels."""
    posted = request.method == "POST"
    typed, problems = request.POST.get("reason", ""), {}
    if posted:
        try:
            booking = invitees.cancel(token, typed)
        except InvalidInput as error:
            problems = error.fields
    if not posted or problems:
        booking = invitees.find(token)
    context = about(booking, "cancel") | {"typed": storable(typed), "problems": problems, "acted": posted}
    return page(request, "web/cancel.html", context, _status(context, State.CANCELLED))


@behind_a_token
def reschedule(request: HttpRequest, token: str) -> HttpResponse:
    """Asks for another time, and moves the booking there."""
    posted = request.method == "POST"
    typed, fold = request.POST.get("start", ""), request.POST.get("fold", "")
    problems: dict[str, list[str]] = {}
    if posted:
        try:
            booking = invitees.move(token, typed, int(fold) if fold in ("0", "1") else None)
        except InvalidInput as error:
            problems = error.fields
    if not posted or problems:
        booking = invitees.find(token)
    context = about(booking, "reschedule")
    context |= choices(booking, typed if problems else "", fold if problems else "")
    context |= {"problems": problems, "acted": posted and not problems}
    return page(request, "web/reschedule.html", context, _status(context, State.OPEN))


@behind_a_token
def feedback(request: HttpRequest, token: str) -> HttpResponse:
    """Asks for a rating and a comment, and shows what was said."""
    problems: dict[str, list[str]] = {}
    typed = {name: storable(request.POST.get(name, "")) for name in ("rating", "comment")}
    posted = request.method == "POST"
    if posted:
        try:
            invitees.rate(token, **typed)
        except InvalidInput as error:
            problems = error.fields
    booking = invitees.find(token)
    context = about(booking, "feedback")
    given = sessions.of(booking)
    if given is not None and not problems:
        typed = {"rating": str(given.rating), "comment": given.comment}
    context |= {
        "given": given,
        "final": given is not None and sessions.is_final(given),
        "word": RATINGS[str(given.rating)] if given else "",
        "ratings": RATINGS,
        "typed": typed,
        "problems": problems,
        "acted": posted and not problems,
    }
    return page(request, "web/feedback.html", context, _status(context, State.BEGUN, State.OVER))


def about(booking: Booking, name: str) -> dict[str, Any]:
    """What each of the pages says of a booking, and where its form goes."""
    organizer, state = booking.organizer, invitees.state_of(booking)
    local = zone(booking.invitee_timezone)
    start, end = (moment.astimezone(local) for moment in (booking.start_time, booking.end_time))
    newer = invitees.successor(booking) if state in (State.REPLACED, State.MISSED) else None
    return {
        "booking": booking,
        "state": state.value,
        "host": organizer.get_full_name() or organizer.company or organizer.email,
        "when": f"{start:%A}, {format_date(start)}",
        "from": f"{start:%H:%M}",
        "until": f"{end:%H:%M}" if end.date() == start.date() else f"{end:%H:%M} on {format_date(end)}",
        "zone": wall_clock.name_of(local).replace("_", " "),
        "offset": wall_clock.offset_of(start),
        "length": format_duration(booking.duration_minutes),
        "path": _path(name, booking),
        "form_key": form_key(booking.access_token),
        "cancel_path": _path("cancel", booking),
        "reschedule_path": _path("reschedule", booking),
        "newer_path": _path(name, newer) if newer else "",
        "max_text": MAX_TEXT,
    }


def choices(booking: Booking, typed: str, fold: str) -> dict[str, Any]:
    """What the form for another time holds: what was typed, else the present time where that is still to come."""
    local = zone(booking.invitee_timezone)
    typed = storable(typed)
    present = booking.start_time.astimezone(local).strftime(wall_clock.FORMAT)
    return {
        "typed": typed or (present if booking.start_time > clock.now() else ""),
        "earliest": clock.now().astimezone(local).strftime(wall_clock.FORMAT),
        "latest": invitees.farthest(booking).astimezone(local).strftime(wall_clock.FORMAT),
        "twins": wall_clock.twins(typed, local),
        "fold": fold,
    }


def _path(name: str, booking: Booking) -> str:
    return reverse(f"invitee-{name}", args=[booking.access_token])


def _status(context: dict[str, Any], *wanted: State) -> int:
    """400 for what cannot be carried out, 409 for what was asked of a booking in another state, else 200."""
    if context["problems"]:
        return 400
    return 409 if context["acted"] and context["state"] not in wanted else 200
