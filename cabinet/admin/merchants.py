"""Merchants: the list that finds them by anything, the form, and the one page that shows a merchant whole."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.module_loading import import_string
from django.utils.timezone import localtime

from cabinet import audit, clock, queries
from cabinet.admin.readonly import ReadOnlyAdmin, changed_labels, to_the_second
from cabinet.admin.staff import actor_of
from cabinet.forms.company import ZONES
from cabinet.forms.fields import InnField, KppField, OgrnField, PhoneField
from cabinet.models import Member, Merchant, Shop, Terminal
from cabinet.panels import Panel

JOURNAL_LINES = 100


class MerchantForm(forms.ModelForm):  # type: ignore[type-arg]
    """The same understanding of numbers and zones as on the merchant's own page."""

    inn = InnField(label="ИНН", required=False)
    kpp = KppField(label="КПП", required=False)
    ogrn = OgrnField(label="ОГРН или ОГРНИП", required=False)
    phone = PhoneField(required=False)
    timezone = forms.ChoiceField(label="Часовой пояс", choices=ZONES, initial="Europe/Moscow")


class MemberInline(admin.TabularInline):  # type: ignore[type-arg]
    """Who works there."""

    model = Member
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
        return str(merchant)

    @admin.display(description="всё о клиенте")
    def whole_link(self, merchant: Merchant | None) -> str:
        if merchant is None or not merchant.pk:
            return "—"
        url = reverse("admin:cabinet_merchant_whole", kwargs={"pk": merchant.pk})
        return format_html('<a href="{}">Всё о клиенте</a>', url)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Merchant], search_term: str
    ) -> tuple[QuerySet[Merchant], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(pk__in=queries.merchants_found(search_term).values("pk")), False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Merchant, form: Any, change: bool) -> None:
        if not change:
            obj.created_at = clock.now()
        super().save_model(request, obj, form, change)
        if form.changed_data:
            self._note(request, obj, "merchant.changed", f"Изменено: {changed_labels(form)}")

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        members = formset.save(commit=False)
        for gone in formset.deleted_objects:
            self._note(request, gone.merchant, "member.removed", f"Убран сотрудник: {gone.user}")
            gone.delete()
        for member in members:
            if member.pk is None:
                member.created_at = clock.now()
            member.save()
            text = f"Сотрудник {member.user}: {member.get_role_display()}"
            self._note(request, member.merchant, "member.changed", text)

    def _note(self, request: HttpRequest, merchant: Merchant, action: str, text: str) -> None:
        audit.record(
            target=merchant,
            action=action,
            text=text,
            by=actor_of(request),
            at=clock.now(),
            merchant_id=merchant.pk,
        )

    def get_urls(self) -> list[URLPattern]:
        whole = path(
            "<int:pk>/whole/", self.admin_site.admin_view(self.whole), name="cabinet_merchant_whole"
        )
        return [whole, *super().get_urls()]

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
            "panels": list(_panels(merchant)),
        }
        return render(request, "cabinet/admin/merchant_whole.html", context)


def _panels(merchant: Merchant) -> Iterable[Panel]:
    yield _members(merchant)
    for dotted in settings.MERCHANT_PANELS:
        yield import_string(dotted)(merchant, clock.now())
    yield _terminals(merchant)
    yield _journal(merchant)


def _members(merchant: Merchant) -> Panel:
    return Panel(
        title="Сотрудники",
        columns=["Имя", "Роль", "Телефон", "Эл. почта", "Последний вход"],
        rows=[
            [
                (row.user.shown_name, reverse("admin:cabinet_user_change", args=[row.user_id])),
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


def _journal(merchant: Merchant) -> Panel:
    return Panel(
        title="Журнал",
        columns=["Когда", "Что", "Причина", "Кто"],
        rows=[
            [to_the_second(row.at), row.text, row.reason or "—", row.actor_name]
            for row in queries.audit_of(merchant, limit=JOURNAL_LINES)
        ],
    )


@admin.register(Shop)
class ShopAdmin(ReadOnlyAdmin):
    """Shops as Evotor's cloud tells."""

    list_display = ("name", "merchant", "address", "seen_at", "gone_at")
    list_select_related = ("merchant",)
    search_fields = ("name", "address", "=evotor_id", "merchant__name")
    ordering = ("-pk",)


@admin.register(Terminal)
class TerminalAdmin(ReadOnlyAdmin):
    """Terminals as Evotor's cloud tells."""

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
