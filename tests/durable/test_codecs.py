"""Payloads at rest: sealed where the settings say so, readable across changes of them."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from automation.durable import activity, codecs, failures, payloads, workflow
from automation.durable.codecs import CannotOpen
from automation.durable.exceptions import ApplicationError, RetryState, WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment
from automation.models import ExecutionStep, WorkflowExecution

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
LIMIT = dt.timedelta(seconds=9)
SECRET = "4242 4242"
COLUMNS = {
    WorkflowExecution: ("input", "result", "failure"),
    ExecutionStep: ("input", "output", "heartbeat", "failure"),
}


class Backwards:
    """A codec of a user's own."""

    def encode(self, text: str) -> str:
        return text[::-1]

    def decode(self, text: str) -> str:
        return text[::-1]


@workflow.defn(name="codecs_pay")
class Pay:
    @workflow.run
    async def run(self, card: str, fails: bool) -> str:
        result = await workflow.execute_activity("codecs_charge", args=[card, fails], start_to_close_timeout=LIMIT)
        return f"paid with {result}"


def charge(card: str, fails: bool) -> str:
    activity.heartbeat({"card": card})
    if activity.info().attempt == 1:
        raise ConnectionError(f"away while charging {card}")
    assert activity.info().heartbeat_details == [{"card": card}]
    if fails:
        raise ApplicationError("declined", {"card": card}, non_retryable=True)
    return card


def stored() -> list[str]:
    """Every payload in the tables; a failed step's output is a word of the engine's."""
    texts = [text for model, names in COLUMNS.items() for row in model.objects.values_list(*names) for text in row]
    return [text for text in texts if text and text not in RetryState.__members__]


def pay(fails: bool = False) -> Any:
    with WorkflowEnvironment.start_time_skipping(activities={"codecs_charge": charge}) as env:
        return env.run(Pay.run, SECRET, fails)


def test_without_keys_payloads_are_plain_json() -> None:
    assert pay() == f"paid with {SECRET}"
    assert all(not text.startswith(codecs.SEAL) for text in stored())
    assert any(SECRET in text for text in stored())


def test_with_a_key_nothing_of_them_is_readable(settings: Any) -> None:
    settings.PAYLOAD_KEYS = [NEW]
    assert pay() == f"paid with {SECRET}"
    with pytest.raises(WorkflowFailureError, match="declined") as failed:
        pay(fails=True)
    assert failed.value.cause.cause.details == ({"card": SECRET},)  # type: ignore[union-attr]
    assert len(stored()) >= 10
    assert all(text.startswith(codecs.SEAL) and SECRET not in text for text in stored())


def test_keys_are_rotated_while_rows_of_both_lie_side_by_side(settings: Any) -> None:
    plain = payloads.encode("plain")
    settings.PAYLOAD_KEYS = [OLD]
    old = payloads.encode("old")
    settings.PAYLOAD_KEYS = [NEW, OLD]
    new = payloads.encode("new")
    assert [payloads.decode(text) for text in (plain, old, new)] == ["plain", "old", "new"]
    settings.PAYLOAD_KEYS = [NEW]
    assert payloads.decode(new) == "new"
    with pytest.raises(CannotOpen, match="put the key it was sealed with back"):
        payloads.decode(old)
    settings.PAYLOAD_KEYS = []
    with pytest.raises(CannotOpen, match="there are no PAYLOAD_KEYS"):
        payloads.decode(new)


def test_switched_off_it_still_opens_what_is_sealed(settings: Any) -> None:
    settings.PAYLOAD_KEYS = [NEW]
    sealed = payloads.encode([1])
    settings.PAYLOAD_CODEC = "off"
    assert payloads.encode([1]) == "[1]"
    assert payloads.decode(sealed) == [1]


def test_a_codec_of_ones_own_is_named_by_its_path(settings: Any) -> None:
    settings.PAYLOAD_CODEC = f"{__name__}.Backwards"
    assert payloads.encode([1, 2]) == "~]2,1["
    assert payloads.decode("~]2,1[") == [1, 2]


def test_what_is_changed_in_the_database_does_not_open(settings: Any) -> None:
    settings.PAYLOAD_KEYS = [NEW]
    token = bytearray(base64.urlsafe_b64decode(payloads.encode("x")[1:]))
    token[-1] ^= 1
    with pytest.raises(CannotOpen):
        payloads.decode(codecs.SEAL + base64.urlsafe_b64encode(token).decode())


def test_a_key_that_is_none_is_refused_without_repeating_it(settings: Any) -> None:
    settings.PAYLOAD_KEYS = [NEW, "no key"]
    with pytest.raises(ImproperlyConfigured, match="PAYLOAD_KEYS: key 2 of 2 is not valid") as refused:
        payloads.encode(1)
    assert "no key" not in str(refused.value).replace("key 2", "")


def test_what_is_weirs_own_stays_plain(settings: Any) -> None:
    settings.PAYLOAD_KEYS = [NEW]
    pay()
    assert all(
        options.startswith("{") for options in ExecutionStep.objects.values_list("options", flat=True) if options
    )


def test_a_command_brings_stored_payloads_in_line_with_the_settings(settings: Any, capsys: Any) -> None:
    pay()
    with pytest.raises(WorkflowFailureError):
        pay(fails=True)
    count = len(stored())
    settings.PAYLOAD_KEYS = [OLD]
    call_command("rotate_payloads")
    assert f"{count} payloads" in capsys.readouterr().out
    assert all(text.startswith(codecs.SEAL) for text in stored())
    settings.PAYLOAD_KEYS = [NEW, OLD]
    call_command("rotate_payloads")
    settings.PAYLOAD_KEYS = [NEW]
    results = WorkflowExecution.objects.exclude(result="").values_list("result", flat=True)
    assert [payloads.decode(text) for text in results] == [f"paid with {SECRET}"]
    failed = ExecutionStep.objects.get(status="failed")
    assert failed.output == RetryState.NON_RETRYABLE_FAILURE.name
    assert failures.message(failed.failure) == "declined"
    settings.PAYLOAD_CODEC = "off"
    call_command("rotate_payloads")
    assert all(not text.startswith(codecs.SEAL) for text in stored())
