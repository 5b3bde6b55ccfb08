"""ASGI entry point: `an ASGI server of your choice`."""

import importlib
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
application = get_asgi_application()

# At the start and not at the first request: two definitions of one name end it here.
registry = importlib.import_module("automation.durable.registry")  # which needs the apps that are ready now
registry.discover()
