"""Video rooms: made with an expiry, kept in step with the provider, deleted when they have expired."""

from automation.domains import exports

__getattr__ = exports(__name__)
