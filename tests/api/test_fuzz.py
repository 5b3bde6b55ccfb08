"""Requests that nobody would write, to every operation: none is answered with a 500, or with what the OpenAPI document
does not say.

Three kinds of request for each: generated from the document so that they fit it, generated so that they do not, and a
good call (`world.CALLS`) with one part of its body or query replaced. API_FUZZ_EXAMPLES gives the number of each
(default 4), API_FUZZ_SEED another random beginning.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from django.conf import settings
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from rest_framework.authtoken.models import Token
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from automation.models import User
from tests.api.world import CALLS, PREFIX, Call, World, document, fill

pytestmark = pytest.mark.django_db
EXAMPLES = int(os.environ.get("API_FUZZ_EXAMPLES", "4"))
SEED = os.environ.get("API_FUZZ_SEED")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def fuzzed(test: Callable[..., None], times: int = 1) -> Callable[..., None]:
    """Runs the test with `times` EXAMPLES examples: always the same ones, unless a seed is given."""
    decorated = hypothesis_settings(
        max_examples=times * EXAMPLES,
        derandomize=SEED is None,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, *((Phase.shrink,) if EXAMPLES > 4 else ())),
        suppress_health_check=list(HealthCheck),
    )(test)
    return decorated if SEED is None else seed(int(SEED))(decorated)


@pytest.fixture(scope="module")
def described() -> Any:
    schema = schemathesis.openapi.from_dict(document())
    schema.app = get_wsgi_application()
    load_all_checks()
    return schema


@pytest.fixture(autouse=True)
def _no_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    for rate in ("API_THROTTLE_USER", "API_THROTTLE_ANON", "INBOUND_RATE"):
        monkeypatch.setattr(settings, rate, "off")


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """A request's end would close the connection that holds the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def world(owner: User) -> World:
    return fill(owner)


@pytest.fixture
def tokens(owner: User, staff: User) -> list[str]:
    return [Token.objects.create(user=user).key for user in (owner, staff)]


ODD: list[Any] = [
    *(None, True, False, 0, -1, 2**31, 2**63, 2**70, 0.5, 1e308, -0.0),
    *("", " ", "\x00", "\ud7ff\U0001f600", "x" * 300, "x" * 10_000, "{{", "{{ invitee_name }}", "{% for x in y %}"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "2031-02-30", "24:00", "+34600123456", "a@b", "http://[::1"),
    *("true", "1e400", "-1", "\u0663", "../..", "$workflow", "$booking", "$nobody", "send_email", "booking_created"),
    *([], {}, [[]], [None], [{}], {"": None}, {"a": {"b": [1]}}, ["$workflow"], [1, "a"], ["$action", "$action"]),
]
"""What programs stumble over, beside what hypothesis thinks of."""

VALUES = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a body."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = by
    return value


def known_fields(raw: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """The properties of an operation's JSON body, by name."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = raw["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    found: dict[str, Any] = schema.get("properties", {})
    return found


@st.composite
def altered(draw: st.DrawFn, call: Call, fields: list[str], parameters: list[str]) -> tuple[Any, dict[str, Any]]:
    """A good call's body and query with a part or two replaced, or a field or a parameter more."""
    body, query = call.body, dict(call.query)
    for _ in range(draw(st.integers(1, 2))):
        if parameters and (body is None or draw(st.booleans())):
            query[draw(st.sampled_from(parameters))] = draw(VALUES)
        elif fields and isinstance(body, dict) and draw(st.booleans()):
            body = {**body, draw(st.sampled_from(fields)): draw(VALUES)}
        elif body is not None:
            body = replaced(body, draw(st.sampled_from(list(places(body)))), draw(VALUES))
    return body, query


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_answered_beside_the_document(name: str, described: Any, world: World, tokens: list[str]) -> None:
    method, path = name.split(" ")
    call = CALLS[name]
    operation = described[PREFIX + path][method]
    raw = operation.definition.raw
    fields = list(known_fields(described.raw_schema, raw))
    parameters = [one["name"] for one in raw.get("parameters", []) if one["in"] == "query"]
    ours = {key: world.put(value) for key, value in call.params.items()}
    who = st.sampled_from(tokens)

    def send(case: Any, token: str) -> None:
        if isinstance(case.body, dict) and name.endswith("/update/"):
            wait = case.body.get("wait_seconds", 10)
            if isinstance(wait, int | float) and 0 < wait <= 30:
                case.body = {**case.body, "wait_seconds": 0}  # nobody carries updates out here
        cache.clear()
        with transaction.atomic():
            response = case.call(headers={"Authorization": f"Token {token}"})
            transaction.set_rollback(True)
        case.validate_response(response, checks=CHECKS)

    @fuzzed
    @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE), who, st.integers(0, 4))
    def fitting(case: Any, token: str, theirs: int) -> None:
        if theirs:
            case.path_parameters = dict(ours)
        send(case, token)

    @fuzzed
    @given(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), who, st.integers(0, 2))
    def unfitting(case: Any, token: str, theirs: int) -> None:
        if theirs:
            case.path_parameters = dict(ours)
        send(case, token)

    @fuzzed
    @given(altered(call, fields, parameters), who)
    def nearly(changed: tuple[Any, dict[str, Any]], token: str) -> None:
        body, query = world.put(changed[0]), world.put(changed[1])
        sent = {} if call.body is None else {"body": body, "media_type": "application/json"}
        send(operation.Case(path_parameters=dict(ours), query=query, **sent), token)

    fitting()
    if raw.get("parameters") or raw.get("requestBody"):
        with contextlib.suppress(Unsatisfiable):  # nothing is wrong for a parameter that takes any text
            unfitting()
    if call.body is not None or parameters:
        nearly()
