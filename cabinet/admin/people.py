"""People and staff."""

import secrets
from datetime import datetime
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Permission
from django.db.models import QuerySet
from django.http import HttpRequest

from cabinet import clock
from cabinet.accounts.services import owner_news, step_up
from cabinet.actors import Actor
from cabinet.admin.actor import record_change
from cabinet.admin.confirm_action import ConfirmAction, ConfirmActionAdmin
from cabinet.admin.readonly import changed_labels
from cabinet.admin_site import permission_label
from cabinet.formatting import ru_format
from cabinet.forms.fields import PhoneField
from cabinet.forms.reason import ReasonForm
from cabinet.models import Member, User, UserSession

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
    """People of merchants, and staff. Only superusers give rights and edit staff."""

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
        """Only superusers give rights."""
        return (*self.readonly_fields, *(() if _is_superuser(request) else _RIGHTS_SHOWN))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Others than superusers see personal rights as a text."""
        shown = super().get_fieldsets(request, obj)
        if _is_superuser(request):
            return shown
        # Read-only permissions would be shown with Django's English names.
        return [
            (
                name,
                {**part, "fields": _RIGHTS_SHOWN if part["fields"] == _RIGHTS else part["fields"]},
            )
            for name, part in shown
        ]

    @admin.display(description="права, данные лично")
    def own_rights(self, person: User) -> str:
        """The rights given to this person and not by a group."""
        rights: QuerySet[Permission] = person.user_permissions.select_related("content_type")
        return "; ".join(permission_label(right) for right in rights) or "—"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of staff only for superusers."""
        # Whoever could edit a colleague could take the colleague's rights.
        own = obj is None or not (obj.is_staff or obj.is_superuser) or _is_superuser(request)
        return own and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only superusers delete people."""
        return _is_superuser(request) and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """The audit log names the changed fields; a new phone ends the sessions; the person is told of it."""
        if change and "phone" in form.changed_data and not obj.has_usable_password():
            # Sessions of whoever holds the old phone must end.
            obj.set_unusable_password()
            UserSession.objects.filter(user=obj).end()
        if change and obj.phone and obj.username == form.initial.get("phone"):
            _rename(obj)
        super().save_model(request, obj, form, change)
        text = f"Изменён человек: {changed_labels(form)}" if change else "Добавлен человек"
        record_change(request, obj, "person.changed" if change else "person.added", text)
        if change:
            before = form.initial
            owner_news.tell_of_new_contacts(
                user=obj,
                old_phone=before.get("phone", obj.phone) or "",
                old_email=before.get("email", obj.email),
                at=clock.now(),
            )


def _rename(person: User) -> None:
    """People of merchants are called by their phone where they have no name: the new one, if it is free."""
    if not User.objects.filter(username=person.phone).exists():
        person.username = str(person.phone)


class PassForm(ReasonForm):
    """The code that is read out to the person, and how they were recognised."""

    code = forms.RegexField(
        rf"^[0-9]{{{step_up.PASS_DIGITS}}}\Z",
        label="Код для клиента",
        error_messages={"invalid": f"В\u00a0коде {step_up.PASS_DIGITS}\u00a0цифр."},
        initial=lambda: f"{secrets.randbelow(10**step_up.PASS_DIGITS):0{step_up.PASS_DIGITS}d}",
        help_text="Назовите его клиенту. Действует час и только один раз.",
        widget=forms.TextInput(attrs={"readonly": True, "autocomplete": "off"}),
    )
    field_order = ("code", "reason")


def _allow_once(member: Member, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    step_up.allow_once(user=member.user, code=asked["code"], reason=asked["reason"], by=by, at=at)


@admin.register(Member)
class MemberAdmin(ConfirmActionAdmin):
    """Members of companies: who lost the phone gets a code by voice."""

    list_display = ("user", "phone", "role", "merchant", "created_at")
    list_select_related = ("user", "merchant")
    search_fields = ("user__name", "user__phone", "merchant__name", "=merchant__inn")
    ordering = ("-pk",)
    show_full_result_count = False
    confirm_permission = "cabinet.change_user"
    confirm_actions = (
        ConfirmAction(
            name="code",
            title="Дать код вместо СМС",
            button="Код назван клиенту",
            done="Код действует час. Клиент вводит его на странице подтверждения.",
            form=PassForm,
            run=_allow_once,
        ),
    )

    @admin.display(description="телефон", ordering="user__phone")
    def phone(self, member: Member) -> str:
        """The person's phone in groups."""
        return ru_format.phone(member.user.phone or "") or "—"


def _is_superuser(request: HttpRequest) -> bool:
    return cast("User", request.user).is_superuser
