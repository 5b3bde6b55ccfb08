"""The project's settings, on the servers of this test run."""

from __future__ import annotations

from tests.support.environment import environment  # first: it settles what project.settings reads

from project.settings import *  # isort: skip  # noqa: F403

TEST_ENVIRONMENT = environment
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
