"""What a database has to offer to be backed up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Beat = Callable[[], bool]
"""Called while something takes long; says whether to stop."""

Tables = dict[str, int]
"""Rows by table."""


class BackupProblem(Exception):
    """A dump could not be made or restored. `final`: trying again changes nothing."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


@dataclass(frozen=True)
class Engine:
    """dump: write a consistent dump of the project's database, and count the rows that are in it.
    restore: restore a dump into a scratch database, count its rows, and take the scratch database away again.
    Both raise BackupProblem."""

    suffix: str
    dump: Callable[[Path, Beat], Tables]
    restore: Callable[[Path, Beat], Tables]


def differences(expected: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """How a restored database differs from what was dumped, in words."""
    lines = [f"the table {name} is missing" for name in sorted(expected.keys() - found.keys())]
    lines += [f"the table {name} was not in the database" for name in sorted(found.keys() - expected.keys())]
    lines += [
        f"the table {name} has {found[name]} rows, not {expected[name]}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name] != found[name]
    ]
    return lines
