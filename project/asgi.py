"""ASGI entry point: `an ASGI server of your choice`."""

import importlib
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
application = get_asgi_application()

# At the start and not at the first request: what cannot be used ends it with one line.
importlib.import_module("automation.checks").start()
