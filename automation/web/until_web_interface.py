"""Where `/workflows/{id}/` and `/executions/{id}/` lead, which messages link to, until a web interface serves them.

Staff who may look at the row get to its admin page, its organizer to what the API says of it, and whoever is not signed
in to a form for that. A web interface replaces this module: its pages take over these three paths.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.views import LoginView, redirect_to_login
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from automation.models import User, Workflow, WorkflowExecution
from automation.web import pages


@never_cache
@require_safe
def lead_on(request: HttpRequest, pk: UUID, model: type[Model], detail: str) -> HttpResponse:
    """Redirects to what there is of the row; to a stranger it does not exist."""
    user = request.user
    if not isinstance(user, User):
        return redirect_to_login(request.path, reverse("sign-in"))
    rows = model._default_manager.filter(pk=pk)
    if not (rows if user.is_staff else rows.filter(organizer=user)).exists():
        return pages.sentence(request, "Nothing is here", "There is no such thing, or it is somebody else's.", 404)
    name = model._meta.model_name
    if user.is_staff and user.has_perm(f"automation.view_{name}"):
        return redirect(f"admin:automation_{name}_change", pk)
    return redirect(f"api:{detail}-detail", pk)


class SignIn(LoginView):
    """Signs organizers and staff in, and leads them on to where they wanted to go."""

    http_method_names = ["get", "head", "post"]
    next_page = "/"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return pages.too_many(request) or super().dispatch(request, *args, **kwargs)

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        # Not `no-referrer`, with which browsers send no Origin that Django's check of forms would take.
        return pages.page(self.request, "web/sign_in.html", context, referrer="same-origin")


urlpatterns = [
    path("workflows/<uuid:pk>/", lead_on, {"model": Workflow, "detail": "workflow"}, name="workflow-link"),
    path("executions/<uuid:pk>/", lead_on, {"model": WorkflowExecution, "detail": "execution"}, name="execution-link"),
    path("sign-in/", SignIn.as_view(), name="sign-in"),
]
