"""Fixtures that every test may use. The servers behind them start with the first test that needs them.

A test marked `real` (or `faults`) sees committed data and may start workers; all tables are emptied after it. Such
tests run last, so that no worker is alive while other tests publish messages. In a run of several processes (`make
test`: they mostly wait, the others mostly compute) they all go to one of them; each process has its own servers.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection

from automation import clock
from automation.durable import canvas, hooks
from project.embedded import PostgresServer, RedisServer
from tests.support.emptying import instead_of_flush
from tests.support.environment import environment
from tests.support.mail import SmtpServer
from tests.support.processes import Beat, Farm, Worker
from tests.support.receiver import HttpReceiver

PUBLISH = canvas._publish
TEST_TIMEOUT = float(os.environ.get("WEIR_TEST_TIMEOUT", "180"))  # seconds, for one test with its fixtures


def pytest_configure(config: pytest.Config) -> None:
    # A run that is told to end, ends like one that is interrupted: with its fixtures' finalizers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _lane(item: pytest.Item) -> int:
    return 2 if item.get_closest_marker("faults") else 1 if item.get_closest_marker("real") else 0


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    if _lane(item):
        item.add_marker(pytest.mark.xdist_group("real"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> tuple[int, bool]:
        """Tests that share a worker follow each other: one with workers of its own ends the shared one."""
        return _lane(item), "shared_worker" not in getattr(item, "fixturenames", ())

    if not config.option.markexpr:
        # Each long fault has a short version that stays; `make faults` (or any -m) runs the long ones.
        long = [item for item in items if _lane(item) == 2]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if _lane(item) < 2]
    on_sqlite = connection.vendor == "sqlite"
    for item in items:
        if _lane(item):
            item.add_marker(pytest.mark.django_db(transaction=True))
            if on_sqlite:
                item.add_marker(pytest.mark.skip(reason="runs worker processes on PostgreSQL"))
    items.sort(key=turn)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that hangs fails, with the line it hangs in, and the run goes on."""

    def expire(signum: int, frame: object) -> None:
        pytest.fail(f"the test took more than {limit:g} s")

    marker = item.get_closest_marker("faults")
    limit = TEST_TIMEOUT * (5 if marker else 1)
    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    farm: Farm | None = item.session.stash.get(_FARM, None)
    if report.failed and farm is not None:
        for node in farm.nodes:
            report.sections.append((f"{node.kind} {node.name}", node.log_tail(60)))
    return report


_FARM: pytest.StashKey[Farm] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """A test that leaves its clock or its broker in place fails: others would, hours of run time later."""
    farm: Farm | None = item.session.stash.get(_FARM, None)
    if farm is not None and "shared_worker" not in getattr(nextitem, "fixturenames", ()):
        farm.end_shared()  # with the last test that shares it: the others count the workers that there are
    result = yield
    held = {
        "time": clock.held_at() is not None,
        "waiting": hooks._wait_hook is not None,
        "publishing": canvas._publish is not PUBLISH,
    }
    moved = clock.shifted()
    clock.let_go()
    clock.come_back()
    hooks.on_wait(None)
    canvas._publish = PUBLISH
    left = [name for name, is_held in held.items() if is_held]
    assert not left, f"this test has left {' and '.join(left)} replaced"
    assert abs(moved) < 0.001, f"this test has left time moved by {moved:g} s"
    return result


# --- Servers ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _servers() -> Iterator[None]:
    """The database and the broker of this run, where they are ours to start."""
    for server in (environment.postgres, environment.redis):
        if server is not None:
            server.start()
    yield
    for server in (environment.redis, environment.postgres):
        if server is not None:
            server.stop()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(_servers: None) -> None:
    """pytest-django asks this before it makes the test database."""


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """A cluster of our own is thrown away as a whole; dropping its database first would wait for killed workers."""
    return environment.postgres is not None


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """The test database, whose tables are emptied after each test that commits."""
    with instead_of_flush():
        yield


@pytest.fixture
def postgres(_servers: None) -> Iterator[PostgresServer]:
    """The test run's PostgreSQL, to be killed and restarted; running again after the test."""
    if environment.postgres is None:
        pytest.skip("the database was given by TEST_DATABASE_URL and is not ours to restart")
    yield environment.postgres
    if not environment.postgres.is_running:
        environment.postgres.start()


@pytest.fixture
def redis_server(_servers: None) -> Iterator[RedisServer]:
    """The test run's Redis, to be killed, paused, emptied and restarted; running again after the test."""
    if environment.redis is None:
        pytest.skip("Redis was given by TEST_REDIS_URL and is not ours to restart")
    yield environment.redis
    if environment.redis.is_running:
        environment.redis.resume()
    else:
        environment.redis.start()


@pytest.fixture(scope="session")
def _smtp() -> Iterator[SmtpServer]:
    server = SmtpServer(environment.smtp_port)
    server.up()
    yield server
    server.down()


@pytest.fixture
def smtp_server(_smtp: SmtpServer) -> Iterator[SmtpServer]:
    """Where workers send mail; in this process, Django's own outbox stays in place (set EMAIL_BACKEND to send)."""
    _smtp.reset()
    _smtp.up()
    yield _smtp
    _smtp.reset()


@pytest.fixture(scope="session")
def _http() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver(environment.http_port)
    receiver.up()
    yield receiver
    receiver.down()


@pytest.fixture
def http_receiver(_http: HttpReceiver) -> Iterator[HttpReceiver]:
    """A webhook's target on an address that WEBHOOK_ALLOWED_HOSTS opens, in this process and in workers."""
    _http.reset()
    _http.up()
    yield _http
    _http.reset()


# --- Processes --------------------------------------------------------------------------------------------------------


def database_url() -> str:
    """The URL of the test database, for other processes."""
    name = str(connection.settings_dict["NAME"])
    if environment.postgres is not None:
        return environment.postgres.url_of(name)
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


@pytest.fixture
def process_environment(db: None) -> dict[str, str]:
    """The environment for a process that shares this run's database, broker and receivers."""
    return _process_environment()


def _process_environment() -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
        "DATABASE_URL": database_url(),
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture(scope="session")
def _farm(request: pytest.FixtureRequest, django_db_setup: None) -> Iterator[Farm]:
    # What earlier tests published is nobody's.
    if environment.redis is not None:
        environment.redis.flush()
    farm = Farm(_process_environment(), environment.directory / "logs")
    request.session.stash[_FARM] = farm
    yield farm
    farm.end_shared()
    farm.end_since(0)


@pytest.fixture
def worker(_farm: Farm, transactional_db: None) -> Iterator[Callable[..., Worker]]:
    """Starts workers that belong to this test; see `Farm.worker` for the arguments."""
    _farm.end_shared()
    count = len(_farm.nodes)
    yield _farm.worker
    _farm.end_since(count)


@pytest.fixture
def beat(_farm: Farm, transactional_db: None) -> Iterator[Callable[..., Beat]]:
    """Starts beats that belong to this test; see `Farm.beat`."""
    count = len(_farm.nodes)
    yield _farm.beat
    _farm.end_since(count)


@pytest.fixture
def shared_worker(_farm: Farm, transactional_db: None, _smtp: SmtpServer, _http: HttpReceiver) -> Worker:
    """A prefork worker of two processes for all queues, which the tests that need no other one share."""
    return _farm.shared()


# --- Time -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock_shift() -> Iterator[Callable[[float], None]]:
    """Moves time forward by so many seconds, in this process and in the workers, and returns when all have seen it."""
    from automation import clock

    def pass_a_reread() -> None:
        time.sleep(clock.SHIFT_REREAD_SECONDS * 1.2)  # every process looks again after this long

    def shift(seconds: float) -> None:
        clock.shift(seconds)
        pass_a_reread()

    yield shift
    clock.come_back()
    pass_a_reread()
