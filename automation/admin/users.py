"""Users, who sign in with an email address."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm, UserChangeForm

from automation.models import User

if TYPE_CHECKING:
    CreationForm = BaseUserCreationForm[User]
    ChangeForm = UserChangeForm[User]
    PersonAdmin = DjangoUserAdmin[User]
else:
    CreationForm, ChangeForm, PersonAdmin = BaseUserCreationForm, UserChangeForm, DjangoUserAdmin


class NewUserForm(CreationForm):
    class Meta:
        model = User
        fields = ("email",)
        field_classes = {"email": forms.EmailField}

    def clean_email(self) -> str:
        """Addresses are compared without regard to case."""
        email = cast(str, self.cleaned_data["email"]).lower()
        if User.objects.filter(email=email).exists():
            raise forms.ValidationError("A user with this email exists.")
        return email


class UserForm(ChangeForm):
    class Meta:
        model = User
        fields = "__all__"
        field_classes = {"email": forms.EmailField}

    def clean_email(self) -> str:
        email = cast(str, self.cleaned_data["email"]).lower()
        if User.objects.filter(email=email).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError("A user with this email exists.")
        return email


@admin.register(User)
class UserAdmin(PersonAdmin):
    form = UserForm
    add_form = NewUserForm
    list_display = ("email", "first_name", "last_name", "company", "timezone", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups", "timezone")
    search_fields = ("email", "first_name", "last_name", "company")
    ordering = ("email",)
    date_hierarchy = "date_joined"
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "company", "phone", "timezone")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "password1", "password2")}),)
