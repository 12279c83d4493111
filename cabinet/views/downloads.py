"""A table as a file to download."""

from collections.abc import Iterable

from django.http import FileResponse, Http404, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from cabinet.formatting.table_files import FileKind, Value, csv_rows, write_xlsx

_XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def table_download(
    rows: Iterable[Iterable[Value]], *, kind: str, title: str, name: str
) -> HttpResponseBase:
    """The file of that kind, `name` without its ending; rows are taken while it is made.

    `title` is the sheet's. Raises Http404 for a kind that there is not.
    """
    if kind not in list(FileKind):
        raise Http404
    response = (
        StreamingHttpResponse(csv_rows(rows), content_type="text/csv; charset=utf-8")
        if kind == FileKind.CSV
        else FileResponse(write_xlsx(rows, title), content_type=_XLSX_TYPE)
    )
    response.headers["Content-Disposition"] = (
        content_disposition_header(True, f"{name}.{kind}") or ""
    )
    return response
