"""Runs commands on the worker's own host."""

from __future__ import annotations

from collections.abc import Sequence

from automation.providers.runner.base import Command, Runner, RunnerRefused


class LocalRunner(Runner):
    def argv(self, command: Command) -> Sequence[str]:
        if command.target not in ("", "localhost"):
            raise RunnerRefused(
                f"the runner 'local' runs on this host, not on {command.target!r}: leave the target empty, or use 'ssh'"
            )
        if not command.argv:
            raise RunnerRefused("the command is empty: expected a program and its arguments")
        return list(command.argv)
