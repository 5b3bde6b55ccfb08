"""Handlers at run time: what workflow code sets, gets and asks about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from automation.durable import current, handlers, payloads
from automation.durable.handlers import QUERY, SIGNAL, UPDATE
from automation.durable.messages import UpdateInfo, current_update

AnyHandler = Callable[..., Any]


def current_update_info() -> UpdateInfo | None:
    """Of the update whose handler, or validator, this is; None elsewhere."""
    return current_update.get()


def all_handlers_finished() -> bool:
    """Whether no signal or update handler is at work: wait for it before the workflow ends."""
    return current.run().messages.all_finished


def _get(kind: str, name: str | None) -> AnyHandler | None:
    run = current.run()
    handler = run.messages.handlers[kind].get(name)
    if handler is None:
        return None
    return handler.function.__get__(run.instance) if handler.is_method else handler.function


def _set(kind: str, name: str | None, handler: AnyHandler | None, validator: AnyHandler | None = None) -> None:
    run = current.run()
    run.check_writable(f"set a {kind} handler")
    handlers.check_setter(kind, handler, dynamic=name is None)
    described = handlers.of_function(kind, name, handler, validator=validator) if handler is not None else None
    run.messages.set_handler(kind, name, described)


def get_signal_handler(name: str) -> AnyHandler | None:
    """The handler of a signal, or None."""
    return _get(SIGNAL, name)


def set_signal_handler(name: str, handler: AnyHandler | None) -> None:
    """Handle a signal with a function, or no more (None). Signals that have waited for one are handled at once."""
    _set(SIGNAL, name, handler)


def get_dynamic_signal_handler() -> AnyHandler | None:
    """The handler of the signals that no other one takes, or None."""
    return _get(SIGNAL, None)


def set_dynamic_signal_handler(handler: AnyHandler | None) -> None:
    """Handle every signal that no other handler takes: (name, args: Sequence[RawValue])."""
    _set(SIGNAL, None, handler)


def get_query_handler(name: str) -> AnyHandler | None:
    """The handler of a query, or None."""
    return _get(QUERY, name)


def set_query_handler(name: str, handler: AnyHandler | None) -> None:
    """Answer a query with a function, or no more (None)."""
    _set(QUERY, name, handler)


def get_dynamic_query_handler() -> AnyHandler | None:
    """The handler of the queries that no other one answers, or None."""
    return _get(QUERY, None)


def set_dynamic_query_handler(handler: AnyHandler | None) -> None:
    """Answer every query that no other handler does: (name, args: Sequence[RawValue])."""
    _set(QUERY, None, handler)


def get_update_handler(name: str) -> AnyHandler | None:
    """The handler of an update, or None."""
    return _get(UPDATE, name)


def set_update_handler(name: str, handler: AnyHandler | None, *, validator: AnyHandler | None = None) -> None:
    """Handle an update with a function, or no more (None); `validator` refuses by raising."""
    _set(UPDATE, name, handler, validator)


def get_dynamic_update_handler() -> AnyHandler | None:
    """The handler of the updates that no other one takes, or None."""
    return _get(UPDATE, None)


def set_dynamic_update_handler(handler: AnyHandler | None, *, validator: AnyHandler | None = None) -> None:
    """Handle every update that no other handler takes: (name, args: Sequence[RawValue])."""
    _set(UPDATE, None, handler, validator)


class PayloadConverter:
    """Reads what dynamic handlers are given."""

    def to_payload(self, value: Any) -> str:
        """A value as JSON text."""
        return payloads.encode(value)

    def from_payload(self, payload: str, type_hint: Any = None) -> Any:
        """The value, as `type_hint` says."""
        return payloads.decode(payload, type_hint if type_hint is not None else Any)


_converter = PayloadConverter()


def payload_converter() -> PayloadConverter:
    """How raw values are read."""
    return _converter
