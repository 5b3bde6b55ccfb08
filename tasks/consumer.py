"""A consumer that survives losing Redis: celery 5.7.0 with kombu 5.7.0 needs it, until a release mends this.

The worker exits with "'NoneType' object has no attribute 'hostname'" when all of this comes together: it holds
unacknowledged messages, a BRPOP is in flight, and another of its connections to Redis is the first to notice the loss.
Closing the channel then begins by reading the BRPOP's answer, which raises, and kombu passes over the error with the
channel still open. `Connection.collect()` goes on to cut the transport off from its connection, and the
`Connection.close()` that follows closes the channel once more, which now puts unacknowledged messages back through a
transport that no longer knows its server.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer

logger = logging.getLogger(__name__)

RECONNECT_PAUSE = 5.0
"""Seconds between attempts to reach the broker, at most; kombu's own pauses grow to 30."""


class Consumer(CeleryConsumer):
    """Celery's consumer, which closes its channels while they still know their server."""

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(conn.ensure_connection, interval_max=RECONNECT_PAUSE)
        return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Close what a lost connection leaves behind, then let Celery reconnect."""
        _close_channels(self.connection)
        super().on_connection_error_after_connected(exc)


def _close_channels(connection: Any) -> None:
    for channel in list(getattr(connection.transport, "channels", None) or ()):
        # The first close may end at the answer of a BRPOP that cannot be read any more; the second gets past it.
        for _ in range(2):
            try:
                channel.close()
            except Exception as error:
                logger.debug("closing channel %r: %r", channel, error)
            if channel.closed:
                break
    # Without it, Connection.close() has no channel left to close a second time.
    connection._default_channel = None
