"""`manage.py trigger_booking_workflows`: start a workflow of a session."""

from __future__ import annotations

from automation.management.base import hours, positive
from automation.management.triggers import Choice, Subject, TriggerCommand, moment, option
from automation.models import Booking

BOOKING = Subject("booking_id", Booking, "booking")


class Command(TriggerCommand):
    help = "Start a workflow of the booking domain. Each word has a --help of its own."
    domain = "booking"
    examples = (
        "trigger_booking_workflows lifecycle 0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10",
        "trigger_booking_workflows session 0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10 --wait",
        "trigger_booking_workflows created 0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10 --id welcome-1",
        "trigger_booking_workflows reminders 0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10 --offsets 2880 60",
        "trigger_booking_workflows no-show 0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10 --wait",
        "trigger_booking_workflows reschedule 0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10 --new-start 2027-03-01T09:30:00Z",
        "trigger_booking_workflows batch-reminders --hours 24 --wait",
    )
    choices = {
        "lifecycle": Choice(
            "BookingLifecycleWorkflow",
            "confirmation, reminder a day before, completion, follow-up",
            BOOKING,
            id_prefix="booking-lifecycle-",
        ),
        "session": Choice(
            "BookingWorkflow",
            "confirmation, reminder, room, attendance, earnings, survey",
            BOOKING,
            id_prefix="booking-session-",
        ),
        "created": Choice("BookingCreatedWorkflow", "what follows a booking's creation", BOOKING),
        "reminders": Choice(
            "BookingReminderWorkflow",
            "reminders at given times before the session",
            BOOKING,
            [
                option(
                    "--offsets",
                    dest="offsets_minutes",
                    nargs="+",
                    type=positive,
                    metavar="MIN",
                    help="minutes before the start (1440 60)",
                )
            ],
            id_prefix="booking-reminders-",
        ),
        "no-show": Choice(
            "NoShowWorkflow", "ask where the invitee is, and mark a no-show", BOOKING, id_prefix="booking-no-show-"
        ),
        "reschedule": Choice(
            "ReschedulingWorkflow",
            "move a session to another time",
            BOOKING,
            [
                option("--new-start", required=True, type=moment, metavar="TIME", help="with its time zone"),
                option("--new-end", type=moment, metavar="TIME", help="by default it keeps its length"),
            ],
            id_prefix="booking-reschedule-",
        ),
        "batch-reminders": Choice(
            "BatchReminderWorkflow",
            "remind of all sessions in a window",
            options=[
                option("--hours", type=hours, metavar="H", help="how long the window is (24)"),
                option("--start", type=moment, metavar="TIME", help="when it begins (now)"),
            ],
        ),
    }
