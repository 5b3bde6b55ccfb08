"""URLs of the project."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from automation.api import fallback

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="api:docs")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("automation.api.urls")),
    path("", include("automation.web.message_urls")),
    path("", include("automation.web.until_web_interface")),
    re_path(r"^api/", fallback.UnknownPath.as_view()),
]

# Under /api/ these answer in the API's envelope, elsewhere as Django does.
handler400 = "automation.api.fallback.bad_request"
handler403 = "automation.api.fallback.permission_denied"
handler404 = "automation.api.fallback.page_not_found"
handler500 = "automation.api.fallback.server_error"
