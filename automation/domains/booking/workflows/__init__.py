"""The workflows of booking."""

from automation.domains.booking.workflows.messages import (
    BatchReminderWorkflow,
    BookingCreatedWorkflow,
    BookingReminderWorkflow,
)
from automation.domains.booking.workflows.no_shows import NoShowWorkflow
from automation.domains.booking.workflows.rescheduling import ReschedulingWorkflow
from automation.domains.booking.workflows.sessions import BookingLifecycleWorkflow, BookingWorkflow

WORKFLOWS: list[type] = [
    BookingWorkflow,
    BookingCreatedWorkflow,
    BookingReminderWorkflow,
    BookingLifecycleWorkflow,
    NoShowWorkflow,
    ReschedulingWorkflow,
    BatchReminderWorkflow,
]
