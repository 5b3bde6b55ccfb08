"""What the views share: whose rows a caller sees."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar, cast

from django.db.models import Model, Q, QuerySet
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request

from automation.errors import NotFound
from automation.models import User

M = TypeVar("M", bound=Model)


def caller(request: Request) -> User:
    """The signed-in user; the views' permissions have made sure that there is one."""
    return cast(User, request.user)


class OwnedView(GenericAPIView[M]):
    """Organizers see and change their own rows only; staff all. To a stranger a row does not exist: 404.

    `owner_lookup` leads from a row to its organizer; a view with another rule overrides `owned_by`.
    """

    owner_lookup: ClassVar[str] = "organizer"
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[M]:
        rows: QuerySet[M] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        user = caller(self.request)
        return rows if user.is_staff else rows.filter(self.owned_by(user))

    def owned_by(self, user: User) -> Q:
        """Which rows are this organizer's."""
        return Q(**{self.owner_lookup: user})

    def get_object(self) -> M:
        """The row of the path. The query string's filters are about lists, and do not hide it."""
        return self.find(self.get_queryset())

    def find(self, rows: QuerySet[M]) -> M:
        """The row of the path among `rows`."""
        row = rows.filter(pk=self.kwargs["pk"]).first()
        if row is None:
            name = rows.model._meta.verbose_name
            raise NotFound(f"There is no {name} {self.kwargs['pk']}, or it belongs to somebody else.")
        self.check_object_permissions(self.request, row)
        return row

    def read(self, serializer_class: Any, **kwargs: Any) -> dict[str, Any]:
        """The request's body, validated by `serializer_class`."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context(), **kwargs)
        serializer.is_valid(raise_exception=True)
        return cast("dict[str, Any]", serializer.validated_data)
