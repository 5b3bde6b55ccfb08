"""Schedules: workflows started again and again; in the Temporal Python SDK they are part of `client`."""
