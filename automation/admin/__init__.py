"""Django's admin, for operators: every row can be found and read; what is history cannot be edited."""

from automation.admin import bookings, executions, notifications, operations, users, workflows

__all__ = ["bookings", "executions", "notifications", "operations", "users", "workflows"]
