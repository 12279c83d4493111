"""People and staff."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Permission
from django.db.models import QuerySet
from django.http import HttpRequest

from cabinet import audit, clock
from cabinet.admin.readonly import changed_labels
from cabinet.admin.staff import actor_of
from cabinet.admin_site import permission_words
from cabinet.forms.fields import PhoneField
from cabinet.models import User

_RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")
_RIGHTS_SHOWN = ("is_staff", "is_superuser", "groups", "own_rights")


class PersonForm(UserChangeForm):  # type: ignore[type-arg]
    """The phone is typed as people write it."""

    phone = PhoneField(mobile=True, required=False)

    def clean_phone(self) -> str | None:
        # Empty is NULL: an empty text would be unique only once.
        return self.cleaned_data["phone"] or None


@admin.register(User)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]
    """People of merchants, and staff. Rights are given by superusers only, staff are edited by them only."""

    form = PersonForm
    add_form = AdminUserCreationForm
    list_display = ("username", "name", "phone", "email", "is_staff", "is_active")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")
    search_fields = ("username", "name", "phone", "email")
    ordering = ("-pk",)
    readonly_fields = ("last_login", "joined_at")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Человек", {"fields": ("name", "phone", "email", "is_active")}),
        ("Права сотрудника сервиса", {"fields": _RIGHTS}),
        ("Даты", {"fields": ("last_login", "joined_at")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "usable_password", "password1", "password2"),
            },
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*self.readonly_fields, *(() if _is_superuser(request) else _RIGHTS_SHOWN))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = super().get_fieldsets(request, obj)
        if _is_superuser(request):
            return shown
        # Rights that are only read would be told in Django's English.
        return [
            (
                name,
                {**part, "fields": _RIGHTS_SHOWN if part["fields"] == _RIGHTS else part["fields"]},
            )
            for name, part in shown
        ]

    @admin.display(description="права, данные лично")
    def own_rights(self, person: User) -> str:
        rights: QuerySet[Permission] = person.user_permissions.select_related("content_type")
        return "; ".join(permission_words(right) for right in rights) or "—"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Whoever could edit a colleague could take the colleague's rights.
        own = obj is None or not (obj.is_staff or obj.is_superuser) or _is_superuser(request)
        return own and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request) and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change and "phone" in form.changed_data and not obj.has_usable_password():
            # Whoever holds the old phone must not stay inside.
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)
        audit.record(
            target=obj,
            action="person.changed" if change else "person.added",
            text=f"Изменён человек: {changed_labels(form)}" if change else "Добавлен человек",
            by=actor_of(request),
            at=clock.now(),
            merchant_id=None,
        )


def _is_superuser(request: HttpRequest) -> bool:
    return cast("User", request.user).is_superuser
