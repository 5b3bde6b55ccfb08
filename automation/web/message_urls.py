"""Paths that stand in messages to people."""

from __future__ import annotations

from django.urls import path

from automation.web import tracking, unsubscribe

urlpatterns = [
    path("unsubscribe/<str:token>/", unsubscribe.unsubscribe, name="unsubscribe"),
    path("t/o/<str:token>.gif", tracking.opened, name="message-opened"),
    path("t/c/<str:token>/", tracking.clicked, name="message-clicked"),
]
