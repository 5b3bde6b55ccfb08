"""Django's admin, for operators: every row can be found and read; what is history cannot be edited."""

from django.contrib import admin

from automation.admin import bookings, executions, notifications, operations, outside, trials, users, workflows

__all__ = ["bookings", "executions", "notifications", "operations", "trials", "outside", "users", "workflows"]

admin.site.site_header = "Weir"
admin.site.site_title = "Weir"
admin.site.index_title = "Rows"
