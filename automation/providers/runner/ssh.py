"""Runs commands on other hosts through the `ssh` program, with the keys and the configuration of the worker's user.

It asks nothing (BatchMode), and speaks to hosts it knows: put their keys into known_hosts. Whatever ends the local
process, by time or by hand, ends the connection; the remote command is sent a hang-up with it.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence

from automation.providers.runner.base import Command, Ran, Runner, RunnerFailed, RunnerRefused

CONNECT_SECONDS = 15
_TARGET = re.compile(r"(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9.:_-]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SshRunner(Runner):
    def argv(self, command: Command) -> Sequence[str]:
        if not _TARGET.fullmatch(command.target):
            # What begins with a dash would be an option of ssh.
            raise RunnerRefused(f"{command.target!r} is no host to reach by ssh: expected host or user@host")
        if not command.argv:
            raise RunnerRefused("the command is empty: expected a program and its arguments")
        program = shutil.which("ssh")
        if program is None:
            raise RunnerRefused("there is no ssh on the PATH of this worker: install the OpenSSH client")
        options = ("BatchMode=yes", f"ConnectTimeout={CONNECT_SECONDS}", "ServerAliveInterval=15")
        return [program, "-T", *(part for option in options for part in ("-o", option)), command.target, _line(command)]

    def environment(self, command: Command) -> dict[str, str]:
        return dict(super().environment(Command(argv=command.argv, timeout=command.timeout)))

    def check(self, ran: Ran, command: Command) -> Ran:
        if ran.exit_code == 255:  # ssh's own, whatever the command was
            raise RunnerFailed(f"{command.target} cannot be reached by ssh: {ran.summary}")
        return ran


def _line(command: Command) -> str:
    """The remote shell's line: every argument quoted."""
    for name in command.env or {}:
        if not _NAME.fullmatch(name):
            raise RunnerRefused(f"{name!r} cannot name an environment variable")
    settings = [f"{name}={value}" for name, value in (command.env or {}).items()]
    line = shlex.join(["env", *settings, *command.argv] if settings else command.argv)
    return f"cd {shlex.quote(command.cwd)} && {line}" if command.cwd else line
