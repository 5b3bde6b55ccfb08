"""What worker processes of tests run with: the project's settings, and the test workflows."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.flows"]
