"""Activities that every worker runs: messages to people, events and figures."""

from automation.domains import exports

__getattr__ = exports(__name__)
