"""«Загрузка смарт-карт на склад»: pages of the admin, for staff who may add cards.

A file is sent on the first page; the second one is its own, from the check to the end of the load.
"""

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock
from cabinet.admin.actor import actor_of
from cabinet.admin_site import site_page
from cabinet.errors import Refused
from cabinet.formatting import text_encoding
from operators.models import OperatorAccount
from smartcards.models import SmartCard, StockImport
from smartcards.states import DOUBTS, WORKING_IMPORTS, ImportState, RemarkKind
from smartcards.stock import importing
from smartcards.stock.csv_file import MAX_BYTES, MAX_LINES

TITLE = "Загрузка смарт-карт на склад"
PERMISSION = "smartcards.add_smartcard"
RECENT = 10
_ROUTE, _NAME = "smartcards/smartcard/import/", "smartcards_smartcard_import"


class UploadForm(forms.Form):
    """Whose cards, which file. `key` makes a form that is sent twice one import."""

    account = forms.ModelChoiceField(
        OperatorAccount.objects.order_by("title"),
        label="Оператор",
        empty_label="Выберите оператора",
        error_messages={"required": "Выберите оператора."},
    )
    file = forms.FileField(
        label="Файл CSV",
        allow_empty_file=True,
        error_messages={"required": "Выберите файл."},
    )
    key = forms.UUIDField(
        widget=forms.HiddenInput,
        error_messages=dict.fromkeys(("required", "invalid"), "Откройте эту страницу заново."),
    )


class EncodingForm(forms.Form):
    """In which encoding the file was written."""

    encoding = forms.ChoiceField(choices=list(text_encoding.TITLES.items()))


class LoadForm(forms.Form):
    """What else than good rows is agreed to."""

    skip_errors = forms.BooleanField(required=False)
    accepted = forms.MultipleChoiceField(
        choices=[(kind.value, kind.label) for kind in RemarkKind if kind in DOUBTS], required=False
    )


@site_page(_ROUTE, name=_NAME, title=TITLE, permission=PERMISSION, listed=False)
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    """Send a file; the imports of late."""
    if request.method != "POST":
        return _upload_page(request, UploadForm(initial={"key": uuid.uuid4()}))
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _upload_page(request, form)
    file, at = form.cleaned_data["file"], clock.now()
    try:
        row = importing.begin_import(
            form_key=form.cleaned_data["key"],
            account=form.cleaned_data["account"],
            file_name=file.name,
            data=file.read(MAX_BYTES + 1),
            by=actor_of(request),
            at=at,
        )
    except Refused as refusal:
        form.add_error("file", refusal.sentence)
        return _upload_page(request, form)
    importing.proceed(row, at=at)
    return redirect(f"admin:{_NAME}_one", row.pk)


@site_page(
    f"{_ROUTE}<int:pk>/", name=f"{_NAME}_one", title=TITLE, permission=PERMISSION, listed=False
)
@require_http_methods(["GET", "HEAD", "POST"])
def one(request: HttpRequest, pk: int) -> HttpResponse:
    """One file: its progress, what was found in it, and what a person decides about it."""
    row = get_object_or_404(
        StockImport.objects.select_related("account").defer("file", "remarks"), pk=pk
    )
    if request.method != "POST":
        return _import_page(request, row)
    action = _ACTIONS.get(request.POST.get("do", ""), _import_page)
    try:
        return action(request, row)
    except Refused as refusal:
        return _import_page(request, row, refusal.sentence)


@site_page(
    f"{_ROUTE}<int:pk>/remarks/",
    name=f"{_NAME}_remarks",
    title=TITLE,
    permission=PERMISSION,
    listed=False,
)
@require_safe
def remarks(request: HttpRequest, pk: int) -> HttpResponse:
    """All remarks of a file as a CSV file."""
    row = get_object_or_404(StockImport.objects.defer("file"), pk=pk, remarks__isnull=False)
    headers = {"Content-Disposition": 'attachment; filename="problems.csv"'}
    return HttpResponse(
        bytes(row.remarks or b""), content_type="text/csv; charset=utf-8", headers=headers
    )


@site_page(
    f"{_ROUTE}<int:pk>/progress/",
    name=f"{_NAME}_progress",
    title=TITLE,
    permission=PERMISSION,
    listed=False,
)
@require_safe
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The live part of a file's page, asked for again and again while it is worked on."""
    row = get_object_or_404(StockImport.objects.defer("file", "remarks"), pk=pk)
    context = _progress(row) | {"is_over": row.state != request.GET.get("seen")}
    return TemplateResponse(request, "admin/smartcards/stock_progress.html", context)


def _choose(request: HttpRequest, row: StockImport) -> HttpResponse:
    form = EncodingForm(request.POST)
    if not form.is_valid():
        raise Refused("Выберите, какой вариант читается правильно.")
    at = clock.now()
    encoding = form.cleaned_data["encoding"]
    changed = importing.choose_encoding(
        import_id=row.pk, encoding=encoding, by=actor_of(request), at=at
    )
    importing.proceed(changed, at=at)
    return redirect(request.path)


def _load(request: HttpRequest, row: StockImport) -> HttpResponse:
    form = LoadForm(request.POST)
    if not form.is_valid():
        raise Refused("Отметьте нужное ещё раз.")
    at = clock.now()
    changed = importing.request_load(
        import_id=row.pk, **form.cleaned_data, by=actor_of(request), at=at
    )
    importing.proceed(changed, at=at)
    return redirect(request.path)


def _discard(request: HttpRequest, row: StockImport) -> HttpResponse:
    if importing.discard(import_id=row.pk, by=actor_of(request), at=clock.now()):
        messages.success(request, "Файл удалён, ничего не загружено.")
        return redirect(f"admin:{_NAME}")
    return redirect(request.path)


_ACTIONS = {"encoding": _choose, "load": _load, "discard": _discard}


def _upload_page(request: HttpRequest, form: UploadForm) -> HttpResponse:
    recent = StockImport.objects.select_related("account", "user").defer("file", "remarks")
    return TemplateResponse(
        request,
        "admin/smartcards/stock_upload.html",
        _context(request)
        | {
            "form": form,
            "recent": recent.order_by("-pk")[:RECENT],
            "max_megabytes": MAX_BYTES // 1024 // 1024,
            "max_lines": MAX_LINES,
        },
    )


def _import_page(request: HttpRequest, row: StockImport, refusal: str = "") -> HttpResponse:
    report = importing.report_of(row)
    context = {
        "report": report,
        "refusal": refusal,
        "working": row.state in WORKING_IMPORTS,
        "has_remarks": bool(report.counts),
        "errors": report.counts.get(RemarkKind.ERROR, 0),
        "known": report.counts.get(RemarkKind.KNOWN, 0),
        "tables": _tables(report),
        "encoding_title": text_encoding.TITLES.get(row.encoding, ""),
        "accepted": request.POST.getlist("accepted"),
    }
    return TemplateResponse(
        request,
        "admin/smartcards/stock_import.html",
        _context(request) | _progress(row) | context,
    )


def _progress(row: StockImport) -> dict[str, Any]:
    address = reverse(f"admin:{_NAME}_progress", args=[row.pk])
    return {
        "row": row,
        "states": {state.name: state.value for state in ImportState},
        "percent": min(100, row.done * 100 // row.total) if row.total else 0,
        "progress_url": f"{address}?seen={row.state}",
    }


def _context(request: HttpRequest) -> dict[str, Any]:
    return admin.site.each_context(request) | {"title": TITLE, "opts": SmartCard._meta}


def _tables(report: importing.Report) -> list[dict[str, Any]]:
    """The first remarks of each kind, how many more there are, and whether its cards need a tick."""
    return [
        {
            "kind": kind.value,
            "title": kind.label,
            "rows": report.shown[kind],
            "count": report.counts[kind],
            "more": report.counts[kind] - len(report.shown[kind]),
            "is_doubt": kind in DOUBTS,
        }
        for kind in RemarkKind
        if kind in report.shown
    ]
