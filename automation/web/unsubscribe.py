"""The page behind every message's unsubscribe link.

A GET asks, and changes nothing: mail programs and virus scanners follow links. A POST acts, whoever sends it: the
link's signature is what allows it, so there is no CSRF check, no cookie and no redirect, as RFC 8058 wants for the one
click of a mail program (`List-Unsubscribe=One-Click`).
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from automation.actions import unsubscribe as links
from automation.errors import NotFound
from automation.models import NotificationPreference, User
from automation.web.pages import page


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Asks, unsubscribes, or, with `action=resubscribe`, subscribes again."""
    try:
        organizer_id, recipient = links.read_token(token)
        if request.method == "POST":
            if request.POST.get("action") == "resubscribe":
                links.resubscribe(token)
            else:
                links.unsubscribe(token)
    except NotFound:
        return page(request, "messages/unsubscribe.html", {"invalid": True}, 404)
    preference = NotificationPreference.objects.filter(organizer_id=organizer_id, recipient=recipient).first()
    organizer = User.objects.filter(id=organizer_id).first()
    context = {
        "recipient": recipient,
        "sender": (organizer.company or organizer.get_full_name() or organizer.email) if organizer else "",
        "unsubscribed": preference is not None and preference.unsubscribed_at is not None,
        "acted": request.method == "POST",
    }
    return page(request, "messages/unsubscribe.html", context)
