"""Which worker nodes are alive: one row a node, touched every few seconds by its main process."""

from __future__ import annotations

from django.db import models

from automation import clock


class WorkerHeartbeat(models.Model):
    """`id` is '<hostname>:<pid>:<start time>'; a step's `worker` is that id, a slash, and the child's pid."""

    id = models.CharField(primary_key=True, max_length=100)
    namespace = models.CharField(max_length=64, db_default="default", default="default")
    node = models.CharField(max_length=200, help_text="Celery's node name.")
    hostname = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    pids = models.JSONField(default=list, help_text="The processes that run tasks, the node itself included.")
    queues = models.JSONField(default=list)
    concurrency = models.PositiveIntegerField(default=1)
    started_at = models.DateTimeField(default=clock.now)
    seen_at = models.DateTimeField(default=clock.now)
    stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["node", "-started_at"]

    def __str__(self) -> str:
        return self.node
