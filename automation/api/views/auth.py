"""Tokens."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from automation.api.authentication import TokenAuthentication
from automation.api.serializers.auth import CredentialsSerializer, TokenSerializer


class TokenView(APIView):
    """An email and a password for a token. Wrong ones are a 401, whichever was wrong."""

    permission_classes = (AllowAny,)
    # Nobody is signed in yet, and a stale token or session must not stand in the way.
    authentication_classes = ()
    also_answers = ("401",)

    def get_authenticate_header(self, request: Request) -> str:
        return TokenAuthentication.keyword

    @extend_schema(
        operation_id="auth_token",
        summary="Get a token",
        tags=["auth"],
        request=CredentialsSerializer,
        responses=TokenSerializer,
        examples=[
            OpenApiExample("Credentials", {"email": "ada@example.com", "password": "…"}, request_only=True),
            OpenApiExample("Token", {"token": "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b"}, response_only=True),
        ],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        credentials = CredentialsSerializer(data=request.data)
        credentials.is_valid(raise_exception=True)
        user = authenticate(request._request, **credentials.validated_data)
        if user is None:
            raise AuthenticationFailed("No active account has this email and password.")
        token, _ = Token.objects.get_or_create(user=user)
        return Response({"token": token.key})
