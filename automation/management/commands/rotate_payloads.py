"""Bring stored payloads in line with PAYLOAD_KEYS and PAYLOAD_CODEC."""

from __future__ import annotations

from typing import Any

from automation.durable import resealing
from automation.management.base import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Seal every stored payload under the newest of PAYLOAD_KEYS, also what is plain; with PAYLOAD_CODEC=off, store "
        "them as plain JSON. Safe while workers run, and safe to interrupt and repeat. Afterwards the old keys can be "
        "dropped."
    )
    examples = ("rotate_payloads",)

    def handle(self, *args: Any, **options: Any) -> None:
        changed = resealing.reseal_all()
        self.stdout.write(f"{changed} payloads written anew.")
