"""kombu's Redis transport, keeping one client object a channel.

kombu makes a new client for each command outside a transaction, and redis-py builds a table of 171 reply parsers for
each of them: a tenth of what publishing a message costs, and of what receiving one does. A client holds no connection
(its pool does) and may be used from several threads, so one a channel serves as well.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis


class Channel(redis.Channel):  # type: ignore[misc,unused-ignore]
    _kept_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call,unused-ignore]
        if self._kept_client is None or self._kept_client.connection_pool is not self.pool:
            self._kept_client = super()._create_client()  # type: ignore[no-untyped-call,unused-ignore]
        return self._kept_client


class Transport(redis.Transport):  # type: ignore[misc,unused-ignore]
    Channel = Channel
