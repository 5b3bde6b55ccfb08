"""The one seam through which Weir makes HTTP calls to the world.

    response = outbound.post_json(url, {"hello": "world"}, headers={"Idempotency-Key": key})
    response = outbound.request("GET", url, headers=…, trusted_hosts=["api.example.com"])

Addresses are judged after DNS resolution, and the address that was judged is the one connected to, so neither an odd
spelling of 127.0.0.1 nor a name that changes its address between two look-ups (DNS rebinding) gets through. Redirects
are not followed, proxies from the environment are not used, at most the asked-for start of an answer is read, and one
wall-clock deadline covers the call from the look-up to the last byte, however slowly the other end trickles.
"""

from automation.outbound.client import MAX_BODY, Response, post_json, request
from automation.outbound.errors import OutboundError, OutboundFailed, OutboundRefused
from automation.outbound.targets import Target, check_url, parse_target

__all__ = [
    "MAX_BODY",
    "OutboundError",
    "OutboundFailed",
    "OutboundRefused",
    "Response",
    "Target",
    "check_url",
    "parse_target",
    "post_json",
    "request",
]
