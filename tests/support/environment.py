"""The environment of a test run, settled before Django reads its settings.

The servers' addresses are chosen here and the servers are started later, by the first test that needs them: a run of
pure tests starts none.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from project.embedded import PostgresServer, RedisServer, free_port

# Faster than the defaults, so that a test of recovery takes seconds; the same in this process and in the workers.
QUICK = {
    "DURABLE_SWEEP_INTERVAL": "0.25",
    "DURABLE_LEASE": "2",
    "DURABLE_HEARTBEAT_INTERVAL": "0.5",
    "DURABLE_WORKER_STALE": "4",
    "DURABLE_REPUBLISH_MIN": "2",
    "DURABLE_REPUBLISH_MAX": "8",
}


class RunPostgres(PostgresServer):
    """The run's database server. Its restart costs other processes their connections; the test's own are reopened."""

    def restart(self, *, crash: bool = False, down: float = 0.0) -> None:
        from django.db import connections

        super().restart(crash=crash, down=down)
        connections.close_all()


class Environment:
    """Addresses of this run. `postgres` and `redis` are None where the run was given a server of its own."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="weir-tests-"))
        atexit.register(shutil.rmtree, self.directory, ignore_errors=True)
        self.postgres: RunPostgres | None = None
        self.redis: RedisServer | None = None
        self.smtp_port = free_port()
        self.http_port = free_port()
        self.clock_file = self.directory / "clock"
        self._settle()

    def _settle(self) -> None:
        given = os.environ.get("TEST_DATABASE_URL", "")
        if not given:
            self.postgres = RunPostgres()
            atexit.register(self.postgres.stop)
            os.environ["POSTGRES_BIN"] = str(self.postgres.binaries)  # a backup's programs are as new as the server
        if not os.environ.get("TEST_REDIS_URL"):
            self.redis = RedisServer(self.directory / "redis")
            atexit.register(self.redis.stop)
        os.environ.update(
            {
                "DATABASE_URL": given or (self.postgres.url if self.postgres else ""),
                "REDIS_URL": os.environ.get("TEST_REDIS_URL") or (self.redis.url if self.redis else ""),
                # Runs that share a Redis keep apart by it.
                "CELERY_KEY_PREFIX": f"weir-test-{os.getpid()}:",
                "WEIR_VAR_DIR": str(self.directory / "var"),
                "WEIR_CLOCK_FILE": str(self.clock_file),
                "EMAIL_HOST": "127.0.0.1",
                "EMAIL_PORT": str(self.smtp_port),
                "EMAIL_TIMEOUT": "5",
                "WEBHOOK_ALLOWED_HOSTS": f"127.0.0.1:{self.http_port},localhost:{self.http_port}",
                "SECRET_KEY": "only-for-tests",
            }
        )
        for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "PRODUCTION", "DEBUG", "EMAIL_BACKEND"):
            os.environ.pop(name, None)
        for name, value in QUICK.items():
            os.environ.setdefault(name, value)


environment = Environment()
