"""What workflow code awaits for what it has asked for, and what cancelling it means."""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Any

from automation.durable import failures
from automation.durable.exceptions import CancelledActivityError, CancelledError, RetryState

if TYPE_CHECKING:
    from automation.durable.asks import Asks
    from automation.durable.outcomes import Fed


class ActivityCancellationType(enum.IntEnum):
    """What cancelling an activity means."""

    TRY_CANCEL = 0  # ask it to stop, and go on as cancelled at once
    WAIT_CANCELLATION_COMPLETED = 1  # ask it to stop, and wait for what it comes to
    ABANDON = 2  # leave it alone, and go on as cancelled


class StepFuture(asyncio.Future[Any]):
    """The future of a step; cancelling it cancels the step."""

    _run: Asks
    _seq: int

    def bind(self, run: Asks, seq: int) -> StepFuture:
        self._run, self._seq = run, seq
        return self

    def cancel(self, msg: Any = None) -> bool:
        if not super().cancel(msg):
            return False
        self._run.cancel_step(self._seq)
        return True


class ActivityHandle(StepFuture):
    """What `workflow.start_activity` returns: await it for the result, or cancel it.

    Cancelled by code, or because the workflow is, it raises an ActivityError whose cause is a CancelledError; which is
    an asyncio.CancelledError as well, so that `wait_for` and the like take it for what it is.
    """

    activity = ""
    cancellation = ActivityCancellationType.TRY_CANCEL
    cancel_asked = False

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        if self.cancellation == ActivityCancellationType.WAIT_CANCELLATION_COMPLETED:
            if not self.cancel_asked:
                self.cancel_asked = True
                if not self._run.request_cancel(self._seq):
                    self._set_cancelled(msg)
            return True
        self.cancel_asked = True
        if self.cancellation == ActivityCancellationType.ABANDON:
            self._run.abandon_step(self._seq)
        else:
            self._run.cancel_step(self._seq)
        self._set_cancelled(msg)
        return True

    def resolve(self, fed: Fed, hint: Any) -> None:
        """Give the code what its step came to."""
        from automation.durable.outcomes import result_of

        if self.done():
            return
        value, error = result_of(fed, hint)
        if error is None:
            self.set_result(value)
        elif self.cancel_asked and isinstance(error.__cause__, CancelledError):
            self.set_exception(self._cancelled_error(error.__cause__))
        else:
            self.set_exception(error)

    def _set_cancelled(self, msg: Any) -> None:
        if asyncio.current_task(self._run.loop) is None and not self._run.cancelling:
            # asyncio's own doing, as by asyncio.timeout, which knows its CancelledError by its very class.
            super(StepFuture, self).cancel(msg)
            return
        self.set_exception(self._cancelled_error(CancelledError(str(msg or "Cancelled"))))
        self._log_traceback = False  # whoever cancels it need not look at what it came to

    def _cancelled_error(self, cause: BaseException) -> BaseException:
        return failures.activity_error(
            self._seq, self.activity, "", cause, RetryState.CANCEL_REQUESTED, CancelledActivityError
        )
