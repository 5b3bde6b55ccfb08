"""The project's settings, on the servers of this test run, with the test workflows."""

from __future__ import annotations

from tests.support.environment import environment  # first: it settles what project.settings reads

from project.settings import *  # isort: skip  # noqa: F403
from project.settings import INSTALLED_APPS  # isort: skip

TEST_ENVIRONMENT = environment
INSTALLED_APPS = [*INSTALLED_APPS, "tests.flows"]
WHITENOISE_AUTOREFRESH = True  # it looks files up when they are asked for: each test's client would list them all
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DURABLE_GATHER = 0.0  # a test sees at once what would be published; those of gathering itself say otherwise
ORGANIZER_WORKFLOWS = ["flows_order", "flows_snippet", "outside_loop"]
