"""What Weir adds to the SDK's model for the code of domains, in one place to import from."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from automation.durable import workflow
from automation.durable.activity import transactional_activity
from automation.durable.common import RetryPolicy
from automation.durable.decorators import (
    django_activity,
    log_activity_result,
    loggable,
    monitored_activity,
    monitored_workflow,
)
from automation.durable.members import Activity, name_of, seconds
from automation.durable.policies import (
    INTEGRATION_RETRY_POLICY,
    NO_RETRY_POLICY,
    PAYMENT_RETRY_POLICY,
    STANDARD_RETRY_POLICY,
    get_default_retry_policy,
)

__all__ = [
    "INTEGRATION_RETRY_POLICY",
    "NO_RETRY_POLICY",
    "PAYMENT_RETRY_POLICY",
    "STANDARD_RETRY_POLICY",
    "BaseWorkflow",
    "django_activity",
    "get_default_retry_policy",
    "log_activity_result",
    "monitored_activity",
    "monitored_workflow",
    "transactional_activity",
]


class BaseWorkflow:
    """A base for workflow classes: activities with the defaults below, and with a line in the log where wanted."""

    default_start_to_close_timeout: ClassVar[dt.timedelta] = dt.timedelta(minutes=10)
    default_retry_policy: ClassVar[RetryPolicy] = STANDARD_RETRY_POLICY

    logger = workflow.logger

    async def execute_activity(self, activity: Activity, *args: Any, **options: Any) -> Any:
        """Run an activity, by function or registered name, with these arguments, and return its result.

        options: those of `workflow.execute_activity`, `args` among them. Where no time limit or no retry policy is
        given, the class's defaults hold. Raises ActivityError.
        """
        if args:
            if "args" in options:
                raise TypeError(f"activity {name_of(activity)!r}: give arguments one by one or as 'args', not both")
            options["args"] = args
        if options.get("start_to_close_timeout") is None and options.get("schedule_to_close_timeout") is None:
            options["start_to_close_timeout"] = self.default_start_to_close_timeout
        options.setdefault("retry_policy", self.default_retry_policy)
        return await workflow.execute_activity(activity, **options)

    async def execute_activity_with_logging(self, activity: Activity, *args: Any, **options: Any) -> Any:
        """`execute_activity`, with its beginning and its end in the log; secrets in its result are masked."""
        name = name_of(activity)
        self.logger.info("activity %s: asked for", name)
        try:
            result = await self.execute_activity(activity, *args, **options)
        except Exception as error:
            self.logger.warning("activity %s: failed: %s", name, error)
            raise
        self.logger.info("activity %s: returned %s", name, loggable(result))
        return result

    async def sleep_with_logging(self, duration: dt.timedelta | float, reason: str = "") -> None:
        """Sleep durably, for a time or for seconds, with a line in the log before and after."""
        wait = dt.timedelta(seconds=seconds(duration) or 0.0)
        because = f": {reason}" if reason else ""
        self.logger.info("sleeping for %s%s", wait, because)
        await workflow.sleep(duration)
        self.logger.info("slept for %s%s", wait, because)
