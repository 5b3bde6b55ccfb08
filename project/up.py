"""`make up`: the whole of Weir on one machine, from nothing to a first booking and its emails.

Redis comes from a Python package unless REDIS_URL names one; the database is SQLite under var/ unless DATABASE_URL
says otherwise. Then the Procfile runs under `project.supervisor`, until Ctrl-C.
"""

from __future__ import annotations

import fcntl
import http.client
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from project import env
from project.embedded import EmbeddedServerError, RedisServer, free_port, port_is_free
from project.env import EMBEDDED_REDIS
from project.supervisor import Console, Supervisor, read_procfile

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
GRACE_SECONDS = 6.0
REDIS_AWAY_SECONDS = 2.0
BROKER_SECONDS = 3.0


class CannotStart(SystemExit):
    """Its text is the one line that the operator sees."""


class Stop(BaseException):
    """Ctrl-C, or a request to end; a BaseException, so that nothing swallows it on its way."""


def main() -> None:
    stopping = False
    supervisor: Supervisor | None = None

    def on_signal(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:  # the second time: no more patience
            if supervisor is not None:
                supervisor.kill()
            return
        stopping = True
        raise Stop

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, on_signal)

    processes = read_procfile(ROOT / "Procfile")
    release = processes.pop("release", "")
    console = Console([*processes, "redis", "demo", "weir"])
    redis: RedisServer | None = None
    began = time.monotonic()
    try:
        settle_environment()
        directory = env.directory("WEIR_VAR_DIR", ROOT / "var")
        with only_one(directory):
            try:
                redis = start_redis(console, directory)
                prepare(console, release)
                supervisor = Supervisor(console, child_environment(), ROOT)
                run(supervisor, console, processes, began)
                stay(console, redis)
            except Stop:
                console.plain("")
                console.say("weir", "stopping …")
            finally:
                stopping = True
                if supervisor is not None:
                    supervisor.stop(GRACE_SECONDS)
                if redis is not None:
                    (directory / EMBEDDED_REDIS).unlink(missing_ok=True)
                    redis.stop(timeout=2.0)
                if supervisor is not None:
                    console.say("weir", "stopped; nothing is left running")
    except Stop:
        pass
    except EmbeddedServerError as error:
        raise CannotStart(f"weir: {error}") from None


def settle_environment() -> None:
    """What `make up` adds to the environment where it says nothing itself. Reads no Django settings yet."""
    port = env.integer("PORT", 8000, low=1, high=65535)
    host = env.text("HOST", "127.0.0.1")
    if not port_is_free(0, host):
        raise CannotStart(f"weir: HOST={host!r} is no IPv4 address of this machine; 0.0.0.0 stands for all that it has")
    if not port_is_free(port, host):
        raise CannotStart(f"weir: port {port} is taken; choose another one: PORT={free_port(host)} make up")
    flower = env.integer("FLOWER_PORT", 5555, low=1, high=65535)
    if not port_is_free(flower, host):
        flower = free_port(host)
    defaults = {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "HOST": host,
        "FLOWER_ADDRESS": host,
        "FLOWER_BASIC_AUTH": "weir:weir",
        "WORKER_CONCURRENCY": "1",
        # Mails become files under var/mail, to be looked at.
        "EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend",
    }
    for name, value in defaults.items():
        if not os.environ.get(name):
            os.environ[name] = value
    os.environ.update(PORT=str(port), FLOWER_PORT=str(flower), PYTHONUNBUFFERED="1")
    if os.geteuid() == 0:
        # In a container, everybody is root: once per worker is too often to hear it.
        os.environ.setdefault("PYTHONWARNINGS", "ignore:You're running the worker with superuser")
    # The commands of the Procfile are those of this virtual environment.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Two on the same data would share a queue by accident, and corrupt Redis' file."""
    lock: IO[str]
    with (directory / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise CannotStart(
                f"weir: already running on {directory} (process {holder}); "
                "stop that one, or set WEIR_VAR_DIR to another directory"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def start_redis(console: Console, directory: Path) -> RedisServer | None:
    """The embedded Redis, where the environment names none; before Django reads its settings."""
    given = os.environ.get("REDIS_URL") or (
        os.environ.get("CELERY_BROKER_URL") and os.environ.get("CELERY_RESULT_BACKEND")
    )
    if given:
        return None
    redis = RedisServer(directory / "redis")
    redis.start()
    os.environ["REDIS_URL"] = redis.url
    (directory / EMBEDDED_REDIS).write_text(redis.url)  # commands in other terminals find it there
    console.say("redis", f"embedded, port {redis.port}, data in {_short(redis.directory)}")
    return redis


def prepare(console: Console, release: str) -> None:
    """The Procfile's `release` line, in this process (it saves two starts of Django), then the demo data."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    from automation import checks

    django.setup()
    checks.start()
    look_for_servers()
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)  # WhiteNoise warns where there is none
    for command in release.split("&&"):
        words = command.split()
        if words[:2] != ["python", "manage.py"]:
            raise CannotStart(f"weir: the Procfile's release line may only hold 'python manage.py …', got {command!r}")
        console.say("weir", " ".join(words[2:]))
        call_command(*words[2:], stdout=_Said(console, "weir"), verbosity=0)
    call_command("seed_demo", stdout=_Said(console, "demo"))


def look_for_servers() -> None:
    """End the start with one line where the database or the broker that the environment names does not answer."""
    from django.conf import settings
    from django.db import DatabaseError, connection
    from kombu.utils.url import maybe_sanitize_url

    from automation.services import health

    try:
        connection.ensure_connection()
    except DatabaseError as error:
        said = str(error).strip().partition("\n")[0]
        raise CannotStart(
            f"weir: DATABASE_URL={maybe_sanitize_url(settings.DATABASE_URL)} cannot be used: {said}"
        ) from None
    if not _until(lambda: health.broker().ok, BROKER_SECONDS):
        name = "CELERY_BROKER_URL" if env.is_set("CELERY_BROKER_URL") else "REDIS_URL"
        raise CannotStart(
            f"weir: nothing answers at {name}={maybe_sanitize_url(settings.CELERY_BROKER_URL)}; "
            f"start it, or leave {name} unset: then an embedded Redis is used"
        )


def child_environment() -> dict[str, str]:
    from django.conf import settings

    return {**os.environ, "DATABASE_URL": settings.DATABASE_URL}


def run(supervisor: Supervisor, console: Console, processes: Mapping[str, str], began: float) -> None:
    """Start everything, show the demo booking, and print where things are."""
    from django.conf import settings
    from django.core.management import CommandError, call_command

    # Where it listens on all interfaces, this one is among them.
    host = "127.0.0.1" if os.environ["HOST"] in ("0.0.0.0", "::") else os.environ["HOST"]  # noqa: S104
    # The first page first: the others would share its processors.
    supervisor.start("web", processes["web"])
    if _until(lambda: _answers(host, settings.PORT), READY_SECONDS):
        console.say("weir", f"first page after {time.monotonic() - began:.1f} s")
    else:
        console.say("weir", f"nothing good comes from port {settings.PORT}; the lines of 'web' above say why")
    for name, command in processes.items():
        if name not in ("web", "flower"):
            supervisor.start(name, command)
    ready = supervisor.wait_for_line("worker", " ready.", READY_SECONDS)
    supervisor.start("flower", processes["flower"])  # it asks the workers about themselves, and complains of silence
    if ready:
        try:
            call_command("run_demo", stdout=_Said(console, "demo"))
        except CommandError as error:
            console.say("demo", str(error))
    else:
        console.say("weir", "no worker is ready, so no demo booking; the lines of 'worker' above say why")
    console.plain(_where(settings.PORT))


def stay(console: Console, redis: RedisServer | None) -> None:
    """Until Ctrl-C; should the embedded Redis end, it is started again on its port, with what it had written."""
    while True:
        if redis is None or redis.process is None:
            signal.pause()
            continue
        console.say("redis", f"ended ({redis.process.wait()}); starting again in {REDIS_AWAY_SECONDS:g} s")
        time.sleep(REDIS_AWAY_SECONDS)
        try:
            redis.start()
        except EmbeddedServerError as error:
            console.say("redis", str(error))
        else:
            console.say("redis", f"running again, port {redis.port}")


def _where(port: int) -> str:
    from django.conf import settings
    from django.urls import NoReverseMatch, reverse

    lines = [("Sign in as", "demo@example.com / demo-password")]
    for title, view in (("Admin", "admin:index"), ("API", "api:docs")):
        try:
            lines.append((title, f"http://localhost:{port}{reverse(view)}"))
        except NoReverseMatch:
            continue
    user, _, password = settings.FLOWER_BASIC_AUTH.partition(":")
    lines.append(("Flower", f"http://localhost:{settings.FLOWER_PORT}/  ({user} / {password})"))
    if settings.EMAIL_BACKEND.endswith("filebased.EmailBackend"):
        lines.append(("Emails", _short(Path(settings.EMAIL_FILE_PATH))))
    lines.append(("Stop", "Ctrl-C"))
    width = max(len(title) for title, _ in lines)
    return "\n" + "\n".join(f"  {title:<{width}}  {text}" for title, text in lines) + "\n"


class _Said(io.TextIOBase):
    """A stream that hands whole lines to the console."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._console.say(self._name, line)
        return len(text)


def _answers(host: str, port: int) -> bool:
    """Whether the web process gives its front page or a redirect (not followed: some pages take a second)."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _until(condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _short(path: Path) -> str:
    return f"{path.relative_to(ROOT)}/" if path.is_relative_to(ROOT) else f"{path}/"


if __name__ == "__main__":
    main()
