"""`workflow.unsafe`: what the SDK needs for its sandbox. There is none here, so that most of it changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from automation.durable import current


class unsafe:
    """As in the Temporal Python SDK."""

    @staticmethod
    def imports_passed_through() -> contextlib.AbstractContextManager[None]:
        """Modules are imported as they are: workflow code runs without a sandbox."""
        return contextlib.nullcontext()

    @staticmethod
    @contextlib.contextmanager
    def sandbox_unrestricted() -> Iterator[None]:
        """Nothing is restricted by a sandbox."""
        yield

    @staticmethod
    def sandbox_import_notification_policy(policy: object) -> contextlib.AbstractContextManager[None]:
        """There is no sandbox to notify."""
        return contextlib.nullcontext()

    @staticmethod
    def in_sandbox() -> bool:
        return False

    @staticmethod
    def is_replaying() -> bool:
        """Whether the code that runs is repeating its history."""
        return current.run().replaying

    @staticmethod
    def is_replaying_history_events() -> bool:
        return current.run().replaying

    @staticmethod
    def is_read_only() -> bool:
        """Whether the code that runs must ask for nothing: a query handler, an update's validator."""
        return bool(current.run().read_only)
