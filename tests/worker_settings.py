"""What worker processes of tests run with: the project's settings, and the test workflows."""

import os
import time

if os.environ.get("WEIR_TEST_CLOCK_OFF"):  # this host's clock is wrong by so many seconds
    _time, _off = time.time, float(os.environ["WEIR_TEST_CLOCK_OFF"])
    time.time = lambda: _time() + _off

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.flows"]
