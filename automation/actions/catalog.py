"""The action types that come with Weir. A new one is a module beside this one, and a line here."""

from __future__ import annotations

from automation.actions.registry import register
from automation.actions.send_email import SendEmail
from automation.actions.send_sms import SendSms
from automation.actions.update_booking import UpdateBooking
from automation.actions.webhook import Webhook

register(SendEmail)
register(SendSms)
register(Webhook)
register(UpdateBooking)
