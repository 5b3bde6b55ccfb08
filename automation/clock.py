"""The one seam through which time enters Weir.

Times are those of the database's clock: `synchronize` is fed the database's own reading whenever a worker
takes an execution over, so a host whose clock is wrong still writes right due times. Tests move time with
`WEIR_CLOCK_FILE`, a file that holds seconds to add, read by every process that was started with it.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

# Seconds to add to the host's monotonic clock to get the database's time since the epoch; None until first read.
_offset: float = time.time() - time.monotonic()
_synchronized_at: float | None = None
_clock_file: Path | None = Path(os.environ["WEIR_CLOCK_FILE"]) if os.environ.get("WEIR_CLOCK_FILE") else None
_shift: float = 0.0
_shift_read_at: float = -1.0
_held_at: float | None = None

SHIFT_REREAD_SECONDS = 0.05


def timestamp() -> float:
    """Seconds since the Unix epoch, on the database's clock."""
    return time.monotonic() + _offset + _test_shift() if _held_at is None else _held_at


def now() -> dt.datetime:
    """The present moment, aware, in UTC, on the database's clock."""
    return dt.datetime.fromtimestamp(timestamp(), dt.UTC)


def unmoved() -> dt.datetime:
    """`now()` without what `shift` moved: for signs of life, which must not look old when a test moves time."""
    return dt.datetime.fromtimestamp(time.monotonic() + _offset, dt.UTC)


def synchronize(database_now: dt.datetime) -> None:
    """Take over the database's clock. Differences below 5 ms are the round trip's and are left alone."""
    global _offset, _synchronized_at
    monotonic = time.monotonic()
    offset = database_now.timestamp() - monotonic
    if _synchronized_at is None or abs(offset - _offset) > 0.005:
        _offset = offset
    _synchronized_at = monotonic


def synchronized_within(seconds: float) -> bool:
    """Whether the database's clock was read in the last `seconds`."""
    return _synchronized_at is not None and time.monotonic() - _synchronized_at < seconds


def shift(seconds: float) -> None:
    """Move time by `seconds` in this process and, with WEIR_CLOCK_FILE, in every process of this run. For tests."""
    global _shift, _held_at
    _shift += seconds
    if _held_at is not None:
        _held_at += seconds
    if _clock_file is not None:
        temporary = _clock_file.with_suffix(".tmp")
        temporary.write_text(repr(_shift))
        temporary.replace(_clock_file)


def shifted() -> float:
    """How far time has been moved, in seconds."""
    global _shift_read_at
    _shift_read_at = -1.0
    return _test_shift()


def come_back() -> None:
    """Take back every `shift`. For tests."""
    global _shift
    _shift = 0.0
    if _clock_file is not None:
        _clock_file.unlink(missing_ok=True)


def hold(at: float | None = None) -> None:
    """Let time stand still in this process, at `at` (seconds since the epoch; None: where it is), until `let_go`;
    called again, it moves it. For tests."""
    global _held_at
    _held_at = timestamp() if at is None else at


def held_at() -> float | None:
    """Where time stands still; None where it goes on."""
    return _held_at


def let_go() -> None:
    """End `hold`: time is again what it would be without it."""
    global _held_at
    _held_at = None


def _test_shift() -> float:
    global _shift, _shift_read_at
    if _clock_file is not None and time.monotonic() - _shift_read_at > SHIFT_REREAD_SECONDS:
        _shift_read_at = time.monotonic()
        try:
            _shift = float(_clock_file.read_text())
        except FileNotFoundError:
            _shift = 0.0
    return _shift
