"""What all PDF papers share: the font with Russian letters, styles of text, tables, signatures."""

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table

Align = Literal[0, 2]
LEFT: Final = 0
RIGHT: Final = 2
FONT, BOLD = "LiberationSans", "LiberationSans-Bold"
_FONTS = Path(__file__).parent / "fonts"
_MARGIN = 15 * mm
# The frame of a page keeps six points on each side for itself.
WIDTH = A4[0] - 2 * _MARGIN - 12


@cache
def _register_fonts() -> None:
    pdfmetrics.registerFont(TTFont(FONT, str(_FONTS / "LiberationSans-Regular.ttf")))
    pdfmetrics.registerFont(TTFont(BOLD, str(_FONTS / "LiberationSans-Bold.ttf")))


def pdf_of(title: str, parts: Sequence[Flowable], page: tuple[float, float] = A4) -> bytes:
    """The file; the same parts give the same bytes."""
    _register_fonts()
    file = BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=page,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title=title,
        author="",
        invariant=1,
    )
    document.build(list(parts))
    return file.getvalue()


def text(words: str, size: float = 9, *, bold: bool = False, align: Align = LEFT) -> Paragraph:
    """A paragraph; what people typed is shown as it is, never read as markup."""
    _register_fonts()
    style = ParagraphStyle(
        "text",
        fontName=BOLD if bold else FONT,
        fontSize=size,
        leading=size * 1.25,
        alignment=align,
        splitLongWords=1,
    )
    return Paragraph(escape(words).replace("\n", "<br/>"), style)


def space(millimetres: float) -> Spacer:
    """Empty room between parts."""
    return Spacer(1, millimetres * mm)


def grid(
    rows: Sequence[Sequence[Flowable | str]],
    widths: Sequence[float],
    *commands: tuple[Any, ...],
    repeat: int = 0,
) -> Table:
    """A table with lines; `repeat`: rows of the heading, shown again on each page."""
    style: list[tuple[Any, ...]] = [
        ("GRID", (0, 0), (-1, -1), 0.5, colors.black),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ("LEFTPADDING", (0, 0), (-1, -1), 3),
        ("RIGHTPADDING", (0, 0), (-1, -1), 3),
        *commands,
    ]
    return Table(
        [list(row) for row in rows], colWidths=list(widths), style=style, repeatRows=repeat
    )


def facts(rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values without lines: «Поставщик: …»."""
    shown = [[text(name), text(value, bold=True)] for name, value in rows]
    padding = [("LEFTPADDING", (0, 0), (-1, -1), 0), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    return Table(shown, colWidths=[30 * mm, WIDTH - 30 * mm], style=padding, hAlign="LEFT")


def signatures(people: Sequence[tuple[str, str]]) -> Table:
    """A place to sign for each: what they are, and their name."""
    shown = [[text(role), "", text(f"/ {name} /" if name else "/")] for role, name in people]
    style: list[tuple[Any, ...]] = [
        ("LINEBELOW", (1, 0), (1, -1), 0.5, colors.black),
        ("TOPPADDING", (0, 0), (-1, -1), 12),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
    ]
    return Table(shown, colWidths=[45 * mm, 55 * mm, WIDTH - 100 * mm], style=style, hAlign="LEFT")
