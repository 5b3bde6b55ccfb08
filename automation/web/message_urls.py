"""Paths that stand in messages to people."""

from __future__ import annotations

from django.urls import path

from automation.web import invitees, tracking, unsubscribe

urlpatterns = [
    path("unsubscribe/<str:token>/", unsubscribe.unsubscribe, name="unsubscribe"),
    path("b/<str:token>/cancel/", invitees.cancel, name="invitee-cancel"),
    path("b/<str:token>/reschedule/", invitees.reschedule, name="invitee-reschedule"),
    path("b/<str:token>/feedback/", invitees.feedback, name="invitee-feedback"),
    path("t/o/<str:token>.gif", tracking.opened, name="message-opened"),
    path("t/c/<str:token>/", tracking.clicked, name="message-clicked"),
]
