"""Weir's own settings, plus the benchmark's app; mail goes nowhere."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "bench"]
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
