"""Django, as small as django-celery-results lets it be."""

from __future__ import annotations

import os

import dj_database_url

SECRET_KEY = "benchmark"
INSTALLED_APPS = ["django_celery_results"]
DATABASES = {"default": dict(dj_database_url.parse(os.environ["DATABASE_URL"]))}
DATABASES["default"]["CONN_MAX_AGE"] = 600
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
