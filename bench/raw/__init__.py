"""The peers: Celery as it comes, Celery tuned, and Celery with its results in the database."""
