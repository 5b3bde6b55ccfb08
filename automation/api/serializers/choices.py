"""The words that answers are made of, where no model has them; `ENUM_NAME_OVERRIDES` names them in the document.

Each is (value, what it means).
"""

from __future__ import annotations

CHECK_STATUSES = [("ok", "All is well"), ("warning", "It may not work"), ("failed", "It does not, at present")]
TRIAL_STATUSES = [
    ("runs", "It would run"),
    ("fails", "It would fail"),
    ("skipped", "It would be left out"),
    ("skipped_conditions", "Its conditions do not hold"),
]
TIMING_STATES = [("waits", "Its time is ahead"), ("fires", "Its time has come"), ("skipped", "It never comes")]
ACTION_TIME_STATES = [("waits", "Its time is ahead"), ("fires", "Its time has come")]
CHANGE_KINDS = [("added", "Added"), ("removed", "Removed"), ("changed", "Changed")]
TIMELINE_KINDS = [
    ("change", "The booking changed"),
    ("message", "A message was sent, or tried"),
    ("not_sent", "Something was cancelled before it began"),
    ("planned", "Something is planned"),
]
ACTION_STATUSES = [
    ("pending", "It has not ended"),
    ("success", "It succeeded"),
    ("failed", "It failed"),
    ("skipped", "It was left out"),
    ("skipped_conditions", "Its conditions did not hold"),
]
