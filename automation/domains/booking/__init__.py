"""Sessions: from the confirmation over reminders, attendance and no-shows to the survey."""

from automation.domains import exports

__getattr__ = exports(__name__)
