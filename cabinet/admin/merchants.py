"""Merchants for staff: list with search, form, and one page with everything about a merchant."""

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.module_loading import import_string
from django.utils.timezone import localtime
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.accounts import queries
from cabinet.accounts.services import company, owner_news
from cabinet.admin import confirm_action
from cabinet.admin.actor import may, record_change
from cabinet.admin.confirm_action import ConfirmAction, service_call
from cabinet.admin.merchant_panels import Panel
from cabinet.admin.readonly import ReadOnlyAdmin, changed_labels, link, to_the_second
from cabinet.enums import Role
from cabinet.forms.company import ZONES
from cabinet.forms.fields import InnField, KppField, OgrnField, PhoneField
from cabinet.forms.silence import CompanySilenceForm
from cabinet.messaging.alerts import pause_of
from cabinet.models import Member, Merchant, Shop, Terminal

AUDIT_EVENTS_SHOWN = 100


class MerchantForm(forms.ModelForm):  # type: ignore[type-arg]
    """Reads numbers and time zones as the merchant's own page does."""

    inn = InnField(label="ИНН", required=False)
    kpp = KppField(label="КПП", required=False)
    ogrn = OgrnField(label="ОГРН или ОГРНИП", required=False)
    phone = PhoneField(required=False)
    timezone = forms.ChoiceField(label="Часовой пояс", choices=ZONES, initial="Europe/Moscow")


class MemberFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """The team of a company, which keeps an owner who may sign in."""

    def clean(self) -> None:
        """Raises ValidationError where the last owner would go. The company stays locked until all is saved."""
        super().clean()
        if any(self.errors) or self.instance.pk is None:
            return
        Merchant.objects.select_for_update().get(pk=self.instance.pk)
        if queries.owner_of(self.instance) and not any(_stays_owner(one) for one in self.forms):
            raise ValidationError("У компании всегда есть владелец: сначала назначьте другого.")


def _stays_owner(form: Any) -> bool:
    data = form.cleaned_data
    if data.get("DELETE") or data.get("role") != Role.OWNER:
        return False
    return bool(data["user"].is_active and not data["user"].is_staff)


class MemberInline(admin.TabularInline):  # type: ignore[type-arg]
    """Who works there."""

    model = Member
    formset = MemberFormSet
    extra = 0
    autocomplete_fields = ("user",)
    readonly_fields = ("created_at",)


@admin.register(Merchant)
class MerchantAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Found by name, phone, ИНН, ОГРН, userId, ICCID or the number of a card."""

    form = MerchantForm
    list_display = ("shown", "inn", "phone", "evotor_user_id", "created_at", "whole_link")
    search_fields = ("name",)
    search_help_text = "Название, телефон, ИНН, ОГРН, userId, ICCID или номер смарт-карты"
    ordering = ("-pk",)
    fields = (
        "whole_link",
        "name",
        "inn",
        "kpp",
        "ogrn",
        "address",
        "phone",
        "email",
        "timezone",
        "evotor_user_id",
        "created_at",
    )
    readonly_fields = ("whole_link", "evotor_user_id", "created_at")
    inlines = (MemberInline,)
    show_full_result_count = False

    @admin.display(description="название", ordering="name")
    def shown(self, merchant: Merchant) -> str:
        """The name, or what stands for it."""
        return str(merchant)

    @admin.display(description="всё о клиенте")
    def whole_link(self, merchant: Merchant | None) -> str:
        """Link to the page with everything about the merchant."""
        if merchant is None or not merchant.pk:
            return "—"
        url = reverse("admin:cabinet_merchant_whole", kwargs={"pk": merchant.pk})
        return link("Всё о клиенте", url)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """Phones only for whoever talks to merchants."""
        return _without_contacts(request, self.list_display)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Phone and e-mail only for whoever talks to merchants."""
        return _without_contacts(request, self.fields)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Merchant], search_term: str
    ) -> tuple[QuerySet[Merchant], bool]:
        """Merchants that `queries.merchants_found` finds; all where nothing is typed."""
        if not search_term.strip():
            return queryset, False
        return queryset.filter(pk__in=queries.merchants_found(search_term).values("pk")), False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: cards, orders and the audit log refer to merchants."""
        return False

    def save_model(self, request: HttpRequest, obj: Merchant, form: Any, change: bool) -> None:
        """The audit log names the changed fields."""
        if not change:
            obj.created_at = clock.now()
        super().save_model(request, obj, form, change)
        if form.changed_data:
            record_change(request, obj, "merchant.changed", f"Изменено: {changed_labels(form)}")

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Every change of the team goes into the audit log."""
        members = formset.save(commit=False)
        changed = dict(formset.changed_objects)
        for gone in formset.deleted_objects:
            text = f"Убран сотрудник: {gone.shown_name}"
            record_change(request, gone.merchant, "member.removed", text)
            gone.delete()
        for member in members:
            if member.pk is None:
                member.created_at = clock.now()
            member.save()
            text = f"Сотрудник {member.shown_name}: {member.get_role_display()}"
            record_change(request, member.merchant, "member.changed", text)
            is_new = member not in changed or {"user", "role"} & set(changed[member])
            if member.role == Role.OWNER and is_new:
                owner_news.tell_of_new_owner(member=member, at=clock.now())

    def get_urls(self) -> list[URLPattern]:
        """Django's, after the page with everything about a merchant."""
        whole = path(
            "<int:pk>/whole/", self.admin_site.admin_view(self.whole), name="cabinet_merchant_whole"
        )
        page = require_http_methods(["GET", "HEAD", "POST"])(self.silence)
        silence = path(
            "<int:pk>/silence/", self.admin_site.admin_view(page), name="cabinet_merchant_silence"
        )
        return [whole, silence, *super().get_urls()]

    def whole(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Everything about one merchant on one page."""
        merchant = Merchant.objects.filter(pk=pk).first()
        if merchant is None:
            raise Http404
        if not self.has_view_permission(request, merchant):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {
            "title": str(merchant),
            "opts": self.opts,
            "merchant": merchant,
            "panels": list(_panels(request, merchant)),
            "pause": pause_of(merchant, clock.now()),
            "may_silence": may(request, SILENCE_RIGHT),
        }
        return render(request, "cabinet/admin/merchant_whole.html", context)

    def silence(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """«Взять паузу»: alerts about the merchant are put off for a time, with a reason."""
        merchant = Merchant.objects.filter(pk=pk).first()
        if merchant is None:
            raise Http404
        if not may(request, SILENCE_RIGHT):
            raise PermissionDenied
        form = confirm_action.bound_form(request, _SILENCE)
        back = reverse("admin:cabinet_merchant_whole", kwargs={"pk": pk})
        listed = reverse("admin:cabinet_merchant_changelist")
        context = {"row": merchant, "back": back, "title": f"{_SILENCE.title}: {merchant}"}
        return confirm_action.carry_out(
            request, _SILENCE, merchant, form, back=back
        ) or confirm_action.ask(
            request, _SILENCE, form, model=Merchant, listed=listed, context=context
        )


SILENCE_RIGHT = "cabinet.change_alert"
_SILENCE: ConfirmAction[Merchant] = ConfirmAction(
    name="silence",
    title="Взять паузу в делах о клиенте",
    button="Взять паузу",
    done="Записано. Остальное идёт как обычно.",
    form=CompanySilenceForm,
    run=service_call("merchant", company.silence_alerts),
)

# Who has these rights talks to merchants, and reads what people did.
_SEES_PEOPLE, _SEES_AUDIT_LOG = "cabinet.view_member", "cabinet.view_auditevent"
_CONTACTS = {"phone", "email"}


def _without_contacts(request: HttpRequest, names: Sequence[str]) -> tuple[str, ...]:
    shown = may(request, _SEES_PEOPLE)
    return tuple(name for name in names if shown or name not in _CONTACTS)


def _panels(request: HttpRequest, merchant: Merchant) -> Iterable[Panel]:
    if may(request, _SEES_PEOPLE):
        yield _members(merchant)
    for dotted in settings.MERCHANT_PANELS:
        yield import_string(dotted)(merchant, clock.now())
    yield _terminals(merchant)
    if may(request, _SEES_AUDIT_LOG):
        yield _audit_events(merchant)


def _members(merchant: Merchant) -> Panel:
    return Panel(
        title="Сотрудники",
        columns=["Имя", "Роль", "Телефон", "Эл. почта", "Последний вход"],
        rows=[
            [
                (row.shown_name, reverse("admin:cabinet_user_change", args=[row.user_id])),
                row.get_role_display(),
                row.user.phone or "—",
                row.user.email or "—",
                f"{localtime(row.user.last_login):%d.%m.%Y %H:%M}" if row.user.last_login else "—",
            ]
            for row in queries.team_of(merchant)
        ],
    )


def _terminals(merchant: Merchant) -> Panel:
    terminals = (
        Terminal.objects.of(merchant).select_related("shop").order_by("shop__name", "name", "pk")
    )
    return Panel(
        title="Магазины и кассы",
        columns=["Магазин", "Адрес", "Касса", "Модель", "Серийный номер", "IMEI", "В Эвотор"],
        rows=[
            [
                row.shop.name if row.shop else "—",
                row.shop.address if row.shop else "—",
                row.name,
                row.model or "—",
                row.serial_number or "—",
                row.imei or "—",
                "удалена" if row.gone_at else "есть",
            ]
            for row in terminals
        ],
    )


def _audit_events(merchant: Merchant) -> Panel:
    return Panel(
        title="Журнал",
        columns=["Когда", "Что", "Причина", "Кто"],
        rows=[
            [to_the_second(row.at), row.text, row.reason or "—", row.actor_name]
            for row in queries.audit_of(merchant, limit=AUDIT_EVENTS_SHOWN)
        ],
    )


@admin.register(Shop)
class ShopAdmin(ReadOnlyAdmin):
    """Shops as Evotor's cloud reports them."""

    list_display = ("name", "merchant", "address", "seen_at", "gone_at")
    list_select_related = ("merchant",)
    search_fields = ("name", "address", "=evotor_id", "merchant__name")
    ordering = ("-pk",)


@admin.register(Terminal)
class TerminalAdmin(ReadOnlyAdmin):
    """Terminals as Evotor's cloud reports them."""

    list_display = (
        "name",
        "merchant",
        "shop",
        "model",
        "serial_number",
        "imei",
        "seen_at",
        "gone_at",
    )
    list_select_related = ("merchant", "shop")
    search_fields = ("name", "=serial_number", "=imei", "=evotor_id", "merchant__name")
    ordering = ("-pk",)
