"""Live streams in video rooms: set up, recorded, cleaned up."""

from automation.domains import exports

__getattr__ = exports(__name__)
