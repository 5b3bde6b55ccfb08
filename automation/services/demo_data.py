"""What the demo consists of: event types, and one workflow for each trigger."""

from __future__ import annotations

from typing import Any

from automation.models import LocationType, Recipient, Trigger

EVENT_TYPES: list[dict[str, Any]] = [
    {"name": "Discovery Call", "duration": 30, "description": "Half an hour to see whether we fit."},
    {"name": "Strategy Session", "duration": 60, "description": "An hour on one question.", "max_attendees": 6},
    {"name": "Office Hours", "duration": 15, "location_type": LocationType.PHONE},
]

_SIGNED = "\n\nSee you soon,\n{{ organizer_first_name }}"
_WHEN = "{{ start_time | in_tz(invitee_timezone) | datetime }}"

WORKFLOWS: list[dict[str, Any]] = [
    {
        "name": "Booking confirmation",
        "description": "Tells both sides at once, then sends a text message and writes the meeting's link down.",
        "trigger": Trigger.BOOKING_CREATED,
        "actions": [
            {
                "name": "Confirmation",
                "action_type": "send_email",
                "order": 1,
                "subject": "Confirmed: {{ event_type_name }} with {{ organizer_name }}",
                "message": "Hello {{ invitee_name }},\n\nyour {{ event_type_name }} is confirmed for " + _WHEN + "."
                "\n\nTo cancel: {{ cancel_url }}\nTo move it: {{ reschedule_url }}" + _SIGNED,
            },
            {
                "name": "Note to the organizer",
                "action_type": "send_email",
                "order": 1,
                "recipient": Recipient.ORGANIZER,
                "subject": "New booking: {{ invitee_name }}, {{ event_type_name }}",
                "message": "{{ invitee_name }} ({{ invitee_email }}) booked {{ event_type_name }} "
                "for {{ start_time | datetime }}.",
            },
            {
                "name": "Text message",
                "action_type": "send_sms",
                "order": 2,
                "message": "{{ event_type_name }} with {{ organizer_name }} is confirmed: " + _WHEN + ".",
                "conditions": [{"operator": "AND", "rules": [{"field": "has_phone", "operator": "is_true"}]}],
            },
            {
                "name": "Meeting link",
                "action_type": "update_booking",
                "order": 3,
                "update_booking_fields": {
                    "meeting_link": "https://meet.example.com/demo",
                    "custom_answers": {"welcomed": "yes"},
                },
            },
            {
                "name": "Heads-up for a large group",
                "action_type": "send_email",
                "order": 4,
                "recipient": Recipient.ORGANIZER,
                "subject": "A group of {{ attendee_count }} is coming",
                "message": "You may want to book a larger room for {{ event_type_name }}.",
                "conditions": [
                    {
                        "operator": "AND",
                        "rules": [{"field": "attendee_count", "operator": "greater_than", "value": 5}],
                    }
                ],
            },
            {
                "name": "Tell another system",
                "action_type": "webhook",
                "order": 5,
                "webhook_url": "https://example.com/hooks/bookings",
                "webhook_data": {"source": "weir-demo"},
                "is_active": False,
            },
        ],
    },
    {
        "name": "Reminder a day before",
        "trigger": Trigger.BEFORE_MEETING,
        "delay_minutes": 24 * 60,
        "actions": [
            {
                "name": "Reminder",
                "action_type": "send_email",
                "subject": "Tomorrow: {{ event_type_name }} with {{ organizer_name }}",
                "message": "Hello {{ invitee_name }},\n\nwe meet on " + _WHEN + ": {{ meeting_link }}" + _SIGNED,
            }
        ],
    },
    {
        "name": "Follow-up an hour after",
        "trigger": Trigger.AFTER_MEETING,
        "delay_minutes": 60,
        "actions": [
            {
                "name": "Follow-up",
                "action_type": "send_email",
                "subject": "Thank you for {{ event_type_name }}",
                "message": "Hello {{ invitee_name }},\n\nwas it useful? Just reply to this mail." + _SIGNED,
            }
        ],
    },
    {
        "name": "Cancellation",
        "trigger": Trigger.BOOKING_CANCELLED,
        "actions": [
            {
                "name": "Cancellation to both",
                "action_type": "send_email",
                "recipient": Recipient.BOTH,
                "subject": "Cancelled: {{ event_type_name }}",
                "message": "The {{ event_type_name }} on " + _WHEN + " is cancelled: {{ cancellation_reason }}",
            }
        ],
    },
    {
        "name": "Rescheduled",
        "trigger": Trigger.BOOKING_RESCHEDULED,
        "actions": [
            {
                "name": "New time to both",
                "action_type": "send_email",
                "recipient": Recipient.BOTH,
                "subject": "New time: {{ event_type_name }}",
                "message": "The {{ event_type_name }} takes place on " + _WHEN + " now.",
            }
        ],
    },
    {
        "name": "Completed",
        "trigger": Trigger.BOOKING_COMPLETED,
        "delay_minutes": 5,
        "actions": [
            {
                "name": "Request for feedback",
                "action_type": "send_email",
                "subject": "How was {{ event_type_name }}?",
                "message": "Hello {{ invitee_name }},\n\nhow was it? {{ feedback_url }}" + _SIGNED,
            }
        ],
    },
    {
        "name": "No-show",
        "trigger": Trigger.BOOKING_NO_SHOW,
        "actions": [
            {
                "name": "Offer of another time",
                "action_type": "send_email",
                "subject": "We missed you",
                "message": "Hello {{ invitee_name }},\n\nanother time? {{ reschedule_url }}" + _SIGNED,
            }
        ],
    },
]
