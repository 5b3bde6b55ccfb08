"""Users of the application: onboarding, and work on many of them at once. Their rows are `automation.models.User`."""

from automation.domains import exports

__getattr__ = exports(__name__)
