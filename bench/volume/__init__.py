"""Weir with a long past: a million executions and five million steps, loaded by a generator.

`python -m bench volume [--executions 1000000]` measures the API's answers, a booking event that matches fifty
workflows, ten thousand rescheduled bookings, the cleanup, conditions and templates, and checks each against its target.
"""
