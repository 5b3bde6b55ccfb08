"""What goes on with the world outside: calls that wait for a host, events of other schedulers."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections

from automation import clock
from automation.durable import recovery
from automation.services import destinations, inbound

recovery.register_sweep("destinations", destinations.sweep)
recovery.register_sweep("inbound events", inbound.sweep_events)


@shared_task(name="clean_up_outside", time_limit=60 * 60)
def clean_up_outside() -> str:
    """Delete inbound events of more than 90 days ago, and calls and destinations that are of no concern any more."""
    close_old_connections()
    now = clock.now()
    return f"{inbound.purge(now)} events deleted, {destinations.tidy(now)} calls and destinations forgotten"
