"""What every page for people who are not signed in has in common: its headers, and what is asked of a request.

Such a page's address is a key. It goes to no other site, into no search engine and no cache; nothing runs in the page,
and nothing comes from elsewhere.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from automation.errors import NotFound
from automation.web import throttling

View = Callable[[HttpRequest, str], HttpResponse]

_SALT = "weir.form"
FORM_KEY = "form"
"""The hidden field that shows that a form is one of ours."""


def page(
    request: HttpRequest, template: str, context: Mapping[str, Any], status: int = 200, *, referrer: str = "no-referrer"
) -> HttpResponse:
    """The template as a page whose only style is its own, and which only its own forms leave."""
    nonce = secrets.token_urlsafe(16)
    response = render(request, template, {**context, "nonce": nonce}, status=status)
    response["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    response["Referrer-Policy"] = referrer
    response["X-Robots-Tag"] = "noindex"
    add_never_cache_headers(response)
    return response


def sentence(request: HttpRequest, title: str, text: str, status: int) -> HttpResponse:
    """A page that says one thing."""
    return page(request, "web/sentence.html", {"title": title, "text": text}, status)


def too_many(request: HttpRequest) -> HttpResponse | None:
    """Count this request for its address; the answer to it, where it is one too many."""
    wait = throttling.seconds_to_wait(request)
    if not wait:
        return None
    text = f"Please try again in {wait} second{'s'[: wait != 1]}."
    response = sentence(request, "Too many requests", text, 429)
    response["Retry-After"] = str(wait)
    return response


def behind_a_token(view: View) -> View:
    """A view of a path with a token: throttled by address; NotFound is a page; a POST is one of our own form.

    Django's own check of forms cannot be passed here: it wants a cookie, and an Origin that `no-referrer` has browsers
    write as null. The key in the form, which is made from the token, takes its place: no other site can read it.
    """

    @csrf_exempt
    @require_http_methods(["GET", "HEAD", "POST"])
    @functools.wraps(view)
    def answer(request: HttpRequest, token: str) -> HttpResponse:
        if refusal := too_many(request):
            return refusal
        if request.method == "POST" and not _is_ours(request, token):
            text = "Nothing has been changed. Please open the link from your message once more, and try again."
            return sentence(request, "This form is not valid", text, 403)
        try:
            return view(request, token)
        except NotFound:
            text = "There is no booking behind it. It may have been cut off: please open it once more from the message."
            return sentence(request, "This link is not valid", text, 404)

    return answer


def form_key(token: str) -> str:
    """What a form carries that is sent to a path with this token."""
    return signing.Signer(salt=_SALT).signature(token)


def _is_ours(request: HttpRequest, token: str) -> bool:
    try:
        signing.Signer(salt=_SALT).unsign(f"{token}:{request.POST.get(FORM_KEY, '')}")
    except signing.BadSignature:
        return False
    return True
