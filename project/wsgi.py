"""WSGI entry point: `gunicorn project.wsgi`."""

import importlib
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
application = get_wsgi_application()

# At the start and not at the first request: what cannot be used ends it with one line.
importlib.import_module("automation.checks").start()
