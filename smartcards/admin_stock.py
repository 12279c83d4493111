"""Loading cards into stock: a page of the admin, mixed into the admin of cards."""

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from cabinet import clock, wording
from cabinet.admin.staff import actor_of, may
from cabinet.errors import Refused
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.stock import Imported, check_stock, import_stock
from smartcards.stock_csv import MAX_BYTES, Parsed, Problem, UnreadableFile, as_csv, parse

SHOWN_PROBLEMS = 50
# What is larger than this on the page is chosen again from the disk.
HELD_MAX = 4 * 1024 * 1024
CHECK, LOAD, DOWNLOAD = "check", "load", "problems"
ALL_OR_NOTHING, GOOD_ONLY = "nothing", "good"
IMPORT_RIGHT = "smartcards.add_smartcard"

if TYPE_CHECKING:  # generic for the type checker only
    _CardAdmin = admin.ModelAdmin[SmartCard]
else:
    _CardAdmin = admin.ModelAdmin


class StockForm(forms.Form):
    """Whose cards, which file, what to do about bad lines.

    `held` carries the file from the check to the load, packed, so that nothing of it has to lie on
    the disk of one of several servers.
    """

    account = forms.ModelChoiceField(
        OperatorAccount.objects.order_by("title"),
        label="Оператор",
        empty_label="Выберите оператора",
        error_messages={"required": "Выберите оператора."},
    )
    file = forms.FileField(label="Файл CSV", required=False, allow_empty_file=True)
    on_problems = forms.ChoiceField(
        label="Если в файле есть ошибки",
        choices=[
            (ALL_OR_NOTHING, "не загружать ничего"),
            (GOOD_ONLY, "загрузить правильные строки"),
        ],
        initial=ALL_OR_NOTHING,
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
    )
    held = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        data = _uploaded(cleaned.get("file"))
        if data is None:  # an empty file was chosen all the same, and is told to be empty
            data = _unpacked(cleaned.get("held", ""))
        if data is None:
            self.add_error("file", "Выберите файл.")
            return cleaned
        try:
            return cleaned | {"data": data, "parsed": parse(data)}
        except UnreadableFile as refusal:
            self.add_error("file", refusal.sentence)
            return cleaned


@dataclass(frozen=True)
class StockReport:
    """What the page says about a checked or loaded file."""

    outcome: Imported
    loaded: bool

    @property
    def tables(self) -> list[tuple[str, tuple[Problem, ...], int]]:
        """Title, the first lines, how many more there are."""
        named = [
            ("Ошибки", self.outcome.problems),
            ("Уже известны", self.outcome.skipped),
            ("Сомнительные номера", self.outcome.warnings),
        ]
        return [
            (title, rows[:SHOWN_PROBLEMS], max(0, len(rows) - SHOWN_PROBLEMS))
            for title, rows in named
            if rows
        ]


class StockImportMixin(_CardAdmin):
    """Adds «Загрузить на склад» to the admin of cards; for staff who may add cards."""

    change_list_template = "admin/smartcards/smartcard/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        page = require_http_methods(["GET", "HEAD", "POST"])(self.import_page)
        wrapped = self.admin_site.admin_view(page)
        return [path("import/", wrapped, name="smartcards_smartcard_import"), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"may_import": _may_import(request)} | (extra_context or {})
        return super().changelist_view(request, context)

    def import_page(self, request: HttpRequest) -> HttpResponse:
        """Check a file, load it, or take all its problems away as a file."""
        if not _may_import(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._page(request, StockForm())
        form = StockForm(request.POST, request.FILES)
        if not form.is_valid():
            return self._page(request, _still_holding(request, form))
        try:
            return self._answer(request, form)
        except Refused as refusal:
            again = _holding(request, form.cleaned_data["data"])
            again.add_error(None, refusal.sentence)
            return self._page(request, again)

    def _answer(self, request: HttpRequest, form: StockForm) -> HttpResponse:
        chosen = form.cleaned_data
        account, parsed = (
            cast("OperatorAccount", chosen["account"]),
            cast("Parsed", chosen["parsed"]),
        )
        take_good = chosen["on_problems"] == GOOD_ONLY
        checked = check_stock(account=account, parsed=parsed, take_good=take_good)
        what = request.POST.get("do")
        if what == DOWNLOAD:
            return _download(checked)
        if what != LOAD:
            return self._page(
                request, _holding(request, chosen["data"]), StockReport(checked, False)
            )
        outcome = import_stock(
            account=account,
            parsed=parsed,
            take_good=take_good,
            by=actor_of(request),
            at=clock.now(),
        )
        if not outcome.added:
            return self._page(
                request, _holding(request, chosen["data"]), StockReport(outcome, True)
            )
        return self._done(request, outcome)

    def _done(self, request: HttpRequest, outcome: Imported) -> HttpResponseRedirect:
        said = f"На склад поступило: {wording.cards(outcome.added)}."
        if outcome.skipped or outcome.problems:
            said += (
                f" Уже были известны: {len(outcome.skipped)}, с ошибками: {len(outcome.problems)}."
            )
        messages.success(request, said)
        return redirect("admin:smartcards_smartcard_changelist")

    def _page(
        self, request: HttpRequest, form: StockForm, report: StockReport | None = None
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": "Загрузка смарт-карт на склад",
            "opts": self.opts,
            "form": form,
            "report": report,
            "held": bool(form["held"].value()),
            "max_megabytes": MAX_BYTES // 1024 // 1024,
        }
        return TemplateResponse(request, "admin/smartcards/stock_import.html", context)


def _may_import(request: HttpRequest) -> bool:
    return may(request, IMPORT_RIGHT)


def _uploaded(file: "UploadedFile[bytes] | None") -> bytes | None:
    return file.read(MAX_BYTES + 1) if file is not None else None


def _packed(data: bytes) -> str:
    """The file as a form field; empty where it is too large to travel so."""
    packed = base64.b64encode(zlib.compress(data)).decode("ascii")
    return packed if len(packed) <= HELD_MAX else ""


def _unpacked(held: str) -> bytes | None:
    try:
        # Never more than a file may have: a few bytes can be packed to unpack to gigabytes.
        return zlib.decompressobj().decompress(base64.b64decode(held), MAX_BYTES + 1) or None
    except (binascii.Error, zlib.error, ValueError):
        return None


def _holding(request: HttpRequest, data: bytes) -> StockForm:
    """The same form, carrying the file to the next step."""
    fields = request.POST.copy()
    fields["held"] = _packed(data)
    return StockForm(fields)


def _still_holding(request: HttpRequest, form: StockForm) -> StockForm:
    """A readable file is kept where something else on the form is wrong."""
    data = form.cleaned_data.get("data")
    return _holding(request, data) if data else form


def _download(checked: Imported) -> HttpResponse:
    said = checked.problems + checked.skipped + checked.warnings
    lines = as_csv(tuple(sorted(said, key=lambda problem: problem.line)))
    headers = {"Content-Disposition": 'attachment; filename="problems.csv"'}
    return HttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
