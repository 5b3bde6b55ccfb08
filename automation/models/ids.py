"""Identifiers that sort by the time of their making."""

from __future__ import annotations

import datetime as dt
import os
import time
import uuid


def uuid7() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): 48 bits of milliseconds, then randomness.

    Rows made together lie together in the primary key's index, which random UUIDs would scatter.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return uuid.UUID(int=value)


def uuid7_at(moment: dt.datetime) -> uuid.UUID:
    """The least of the ids made at or after that millisecond: what is made earlier sorts before it."""
    return uuid.UUID(int=(int(moment.timestamp() * 1_000) << 80) | (0x7 << 76) | (0x2 << 62))
