"""Imported by a worker to take its mend away, so that a test can show what it mends."""

from __future__ import annotations

from tasks.consumer import Consumer

del Consumer.on_connection_error_after_connected
