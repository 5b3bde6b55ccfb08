"""A RabbitMQ of the tests' own, where one is installed: a node with its data, its cookie and its epmd in a temporary
directory and on free ports, which ends with the process that started it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from amqp import Connection

from project.embedded import Server, free_port


class Epmd(Server):
    """The directory of nodes that Erlang would start by itself, and leave running."""

    name = "epmd"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port = free_port()

    def command(self) -> Sequence[str]:
        return [str(shutil.which("epmd")), "-port", str(self.port), "-address", "127.0.0.1"]

    def is_ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class RabbitServer(Server):
    """One node without plugins. `patience`: seconds that a consumer may leave a message unacknowledged before its
    channel is closed."""

    name = "rabbitmq"

    def __init__(self, patience: float = 1800.0) -> None:
        super().__init__()
        self.patience = patience
        self.port = free_port()
        self._epmd = Epmd(self.directory / "epmd")

    @staticmethod
    def missing() -> str:
        """Why there can be none here; '' where there can."""
        absent = [program for program in ("rabbitmq-server", "epmd") if shutil.which(program) is None]
        return f"neither TEST_RABBITMQ_URL nor {' and '.join(absent)} on the PATH" if absent else ""

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def command(self) -> Sequence[str]:
        # What is on the PATH may be a wrapper that changes the user; the script is beside it.
        script = Path(os.path.realpath(str(shutil.which("rabbitmq-server")))).with_name("rabbitmq-server")
        return ["env", *(f"{name}={value}" for name, value in self._environment().items()), str(script)]

    def _environment(self) -> dict[str, object]:
        return {
            "HOME": self.directory,  # of the cookie
            "ERL_EPMD_PORT": self._epmd.port,
            "RABBITMQ_NODENAME": f"weir-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_MNESIA_BASE": self.directory / "data",
            "RABBITMQ_LOG_BASE": self.directory / "log",
            "RABBITMQ_PID_FILE": self.directory / "pid",
            "RABBITMQ_CONF_ENV_FILE": self.directory / "none",
            "RABBITMQ_CONFIG_FILE": self.directory / "rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.directory / "advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.directory / "plugins",
            "RABBITMQ_LOGS": "-",
            # The script becomes the node: one process, which the kernel ends with ours.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def start(self, timeout: float = 60.0) -> Self:
        (self.directory / "plugins").write_text("[].\n")
        options = "raft.wal_max_size_bytes = 16000000\nlog.console.level = warning\n"
        (self.directory / "rabbitmq.conf").write_text(options)
        timeout_ms = round(self.patience * 1000)
        (self.directory / "advanced.config").write_text(
            f"[{{rabbit, [{{consumer_timeout, {timeout_ms}}}, {{channel_tick_interval, 500}}]}}].\n"
        )
        self._epmd.start()
        return super().start(timeout)

    def is_ready(self) -> bool:
        try:
            with Connection(f"127.0.0.1:{self.port}", "guest", "guest", connect_timeout=2):
                return True
        except Exception:  # its own, and the socket's, whatever they say while it starts
            return False

    def stop(self, timeout: float = 10.0) -> None:
        self.kill()  # what it holds is nobody's: an orderly end would take seconds
        self._epmd.stop()
        super().stop(timeout)
