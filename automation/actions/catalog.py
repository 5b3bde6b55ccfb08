"""The action types that come with Weir. A new one is a module beside this one, and a line here."""

from __future__ import annotations

from automation.actions.registry import register
from automation.actions.run_workflow import RunWorkflow
from automation.actions.send_email import SendEmail
from automation.actions.send_sms import SendSms
from automation.actions.slack_message import SlackMessage
from automation.actions.update_booking import UpdateBooking
from automation.actions.webhook import Webhook

register(SendEmail)
register(SendSms)
register(Webhook)
register(UpdateBooking)
register(RunWorkflow)
register(SlackMessage)
