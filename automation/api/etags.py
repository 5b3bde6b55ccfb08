"""Lost updates: a workflow's ETag goes out with it, and an edit that names another one in If-Match is a 412.

The validator is weak, as the statistics inside a workflow's representation change without an edit. RFC 9110 lets a
server compare If-Match by its own rule where a strong validator is not to be had; here both forms are accepted, since
proxies that compress turn strong ones into weak ones.
"""

from __future__ import annotations

import re

from rest_framework.request import Request

from automation.api.problems import PreconditionFailed
from automation.models import Workflow

_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def etag(workflow: Workflow) -> str:
    """`W/"<version>-<microseconds of the last edit>"`."""
    return f'W/"{_validator(workflow)}"'


def _validator(workflow: Workflow) -> str:
    return f"{workflow.version}-{round(workflow.updated_at.timestamp() * 1_000_000)}"


def check(request: Request, workflow: Workflow) -> None:
    """Raises PreconditionFailed if If-Match is given and names none of `workflow`'s validators.

    Call it on a row that the transaction has locked: otherwise another edit slips in between this and the write.
    """
    wanted = request.headers.get("If-Match")
    if wanted is None or wanted.strip() == "*":
        return
    if _validator(workflow) not in _TAG.findall(wanted):
        raise PreconditionFailed(
            f"The workflow was changed since you read it: If-Match says {wanted[:100]}, it is now at {etag(workflow)}. "
            "Read it again, and repeat your change on what it says now."
        )


def check_tag(request: Request, current: str, what: str) -> None:
    """The same for a thing that has this ETag now: `what` names it in the error."""
    wanted = request.headers.get("If-Match")
    if wanted is None or wanted.strip() == "*":
        return
    if not set(_TAG.findall(wanted)) & set(_TAG.findall(current)):
        raise PreconditionFailed(
            f"The {what} was changed since you read it: If-Match says {wanted[:100]}, it is now at {current}. "
            "Read it again, and repeat your change on what it says now."
        )
