"""The Django project. Importing it makes the Celery app the default one, as `celery -A project` expects."""

from project.celery import app as celery_app

__all__ = ["celery_app"]
