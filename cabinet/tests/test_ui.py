"""The components of the pages, and what a page of theirs may never contain."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django import forms
from django.core.paginator import Paginator
from django.template import engines
from django.template.loader import get_template, render_to_string
from django.test import RequestFactory
from django.utils import timezone

from cabinet.formatting.ru_format import NBSP, Pill, Tone
from cabinet.templatetags import ru, ui

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
STYLES = sorted((ROOT / "static").rglob("*.css"))
SCRIPTS = sorted((ROOT / "static").rglob("*.js"))
NOW = datetime(2026, 11, 22, 7, 42, tzinfo=UTC)


@dataclass(frozen=True)
class Shown:
    tone: str
    text: str


@dataclass(frozen=True)
class Link:
    title: str
    url: str
    active: bool = False


@dataclass(frozen=True)
class Step:
    text: str
    state: str
    hint: str = ""


@dataclass(frozen=True)
class Row:
    term: str
    value: str
    hint: str = ""


class CompanyForm(forms.Form):
    inn = forms.CharField(label="ИНН", help_text="10 или 12 цифр", max_length=12)
    note = forms.CharField(label="Комментарий", required=False)
    agree = forms.BooleanField(label="Согласен")
    stop = forms.ChoiceField(
        label="Когда", choices=[("now", "Сейчас"), ("end", "Потом")], widget=forms.RadioSelect
    )
    back = forms.CharField(widget=forms.HiddenInput)


@pytest.fixture(autouse=True)
def plain_static_names(settings):
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(autouse=True)
def moscow():
    with timezone.override("Europe/Moscow"):
        yield


def squeezed(html: str) -> str:
    """Markup without the white space between and around tags."""
    return re.sub(r"\s*(<[^>]*>)\s*", r"\1", html).strip()


def component(name: str, /, **context: object) -> str:
    return squeezed(render_to_string(f"ui/{name}.html", context))


def rendered(source: str, **context: object) -> str:
    return engines["django"].from_string("{% load ru ui %}" + source).render(context)


# Formatting tags


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('{% plural 2 "карта" "карты" "карт" %}', "карты"),
        ('{% counted 21 "касса" "кассы" "касс" %}', "21 касса"),
        ("{{ 5|cards }}", "5 смарт-карт"),
        ("{{ 3|days }}", "3 дня"),
        ("{{ 12|months }}", "12 месяцев"),
        ("{{ 123450|money }}", "1 234,50 ₽"),
        ("{{ late|day }}", "1 января 2027 г."),
        ("{{ late|day_short }}", "1 января"),
        ("{{ birthday|day }}", "31 января 2027 г."),
        ("{{ late|moment_full }}", "1 января 2027 г., 00:00"),
        ("{{ late|clock_time }}", "00:00"),
        ("{{ late|iso }}", "2026-12-31T21:00:00+00:00"),
        ("{% moment now %}", "сегодня в 10:42"),
        ("{% moment nothing %}", ""),
        ("{% day_near now %}", "22 ноября"),
        ("{% day_near late %}", '<span class="nowrap">1 января 2027 г.</span>'),
        ("{% day_near nothing %}", ""),
        ("{% period now late %}", "22 ноября 2026 г. — 1 января 2027 г."),
        ("{{ span|duration }}", "2 минуты"),
        ('{{ "79123456789"|phone }}', "+7 912 345-67-89"),
        ('{{ "7 800 555-01-00"|phone_link }}', "+78005550100"),
        ('{{ nothing|day|default:"не указано" }}', "не указано"),
        ("{{ nothing|money }}{{ nothing|cards }}{{ nothing|phone }}{{ nothing|duration }}", ""),
    ],
)
def test_formatting_tags_speak_russian(source, expected):
    context = {
        "now": NOW,
        "late": datetime(2026, 12, 31, 21, tzinfo=UTC),
        "birthday": date(2027, 1, 31),
        "span": timedelta(minutes=2),
        "nothing": None,
    }

    assert rendered(source, **context).replace(NBSP, " ") == expected


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "Работают 2 из 3 смарт-карт",
            'Работают 2 из 3 <span class="nowrap">смарт-карт</span>',
        ),
        ("Смарт-карта работает", "Смарт-карта работает"),
        ("<b>смарт-карта", '&lt;b&gt;<span class="nowrap">смарт-карта</span>'),
    ],
)
def test_heading_does_not_break_after_the_hyphen(text, html):
    assert ru.no_hyphen_break(text) == html


def test_moment_without_now_is_the_whole_date():
    assert rendered("{% moment at %}", at=NOW).replace(NBSP, " ") == "22 ноября 2026 г., 10:42"


def test_moment_takes_the_zone_it_is_given():
    zone = timezone.get_fixed_timezone(600)

    assert rendered("{% moment at zone %}", at=NOW, now=NOW, zone=zone) == f"сегодня в{NBSP}17:42"


def test_every_filter_takes_an_absent_value():
    assert {name for name, tool in ru.register.filters.items() if tool(None) != ""} == set()


# Components


@pytest.mark.parametrize("tone", list(Tone))
def test_pill_has_a_text_and_a_class_for_each_tone(tone):
    css = (ROOT / "static/css/cabinet.css").read_text()

    html = rendered("{% pill status %}", status=Pill(tone, "Работает"))

    assert html == f'<span class="pill pill-{tone}">Работает</span>'
    assert tone == Tone.OFF or f".pill-{tone}::before" in css


def test_iccid_stresses_the_last_four_digits():
    html = rendered("{% iccid groups %}", groups=("8970", "101", "6789"))

    assert html == '<span class="number iccid">8970 101 <b>6789</b></span>'


def test_pill_refuses_a_tone_without_a_look():
    with pytest.raises(ValueError, match="green"):
        ui.pill(Shown("green", "Работает"))


def test_button_submits():
    html = component("button", text="Подтвердить", name="step", value="2")

    assert html == (
        '<span class="action"><button class="button button-primary" type="submit"'
        ' name="step" value="2">Подтвердить</button></span>'
    )


def test_button_with_an_address_is_a_link():
    html = component(
        "button", text="Установить", url="/m/?a=1&b=2", target="_top", variant="danger"
    )

    assert html == (
        '<span class="action"><a class="button button-danger" href="/m/?a=1&amp;b=2"'
        ' target="_top" rel="noopener">Установить</a></span>'
    )


def test_disabled_button_has_a_reason_and_no_link():
    html = component("button", text="Активировать", url="/go/", reason="Не оплачена.")

    assert html == (
        '<span class="action"><button class="button button-primary" type="button" disabled>'
        'Активировать</button><span class="reason">Не оплачена.</span></span>'
    )


def test_action_posts_with_a_token():
    html = component("action", url="/cards/1/on/", text="Активировать", csrf_token="abc")

    assert html == (
        '<form class="action" method="post" action="/cards/1/on/">'
        '<input type="hidden" name="csrfmiddlewaretoken" value="abc">'
        '<span class="action"><button class="button button-primary" type="submit">'
        "Активировать</button></span></form>"
    )


def test_action_that_is_off_has_no_form():
    html = component("action", url="/cards/1/on/", text="Активировать", reason="Списана.")

    assert html == component("button", text="Активировать", reason="Списана.")


def test_note_escapes_its_text():
    html = component("note", text="<b>«Ё»</b>", tone="warning", url="/a/", url_text="Почему")

    assert html == (
        '<div class="note note-warning"><p>&lt;b&gt;«Ё»&lt;/b&gt;<a href="/a/">Почему</a></p></div>'
    )


def test_field_ties_help_and_error_to_the_input():
    form = CompanyForm({"inn": ""})

    html = component("field", field=form["inn"])

    assert html == (
        '<div class="field"><label for="id_inn">ИНН</label>'
        '<input type="text" name="inn" maxlength="12" required aria-invalid="true"'
        ' aria-describedby="id_inn_helptext id_inn_error" id="id_inn">'
        '<p class="help" id="id_inn_helptext">10 или 12 цифр</p>'
        '<ul class="errors" id="id_inn_error"><li>Обязательное поле.</li></ul></div>'
    )


def test_optional_field_is_marked():
    html = component("field", field=CompanyForm()["note"])

    assert html == (
        '<div class="field"><label for="id_note">Комментарий'
        f'<span class="optional">—{NBSP}необязательно</span></label>'
        '<input type="text" name="note" id="id_note"></div>'
    )


def test_field_of_choices_is_a_named_group():
    html = component("field", field=CompanyForm({})["stop"])

    assert html.startswith(
        '<fieldset class="field choices" aria-describedby="id_stop_error"><legend>Когда</legend>'
    )
    assert html.count('type="radio"') == 2


def test_field_kinds_cover_the_form():
    kinds = [ui.field_kind(field) for field in CompanyForm()]

    assert kinds == ["line", "line", "check", "choices", "hidden"]


def test_form_shows_each_field_once_and_points_at_mistakes():
    html = component("form", form=CompanyForm({"inn": "1"}))

    assert re.findall(r'name="(\w+)"', html) == ["inn", "note", "agree", "stop", "stop", "back"]
    assert html.startswith('<div class="note note-error" role="alert"><p>Проверьте поля')


def test_row_shows_a_dash_for_nothing():
    assert component("row", term="Метка", value="") == (
        '<div class="row"><dt>Метка</dt><dd>—</dd></div>'
    )


def test_row_may_hold_a_status():
    assert component("row", term="Связь", status=Pill(Tone.OFF, "Новая"), hint="вчера") == (
        '<div class="row"><dt>Связь</dt><dd><span class="pill pill-off">Новая</span>'
        '<span class="hint">вчера</span></dd></div>'
    )


def test_heading_has_one_title_and_a_way_back():
    html = component("heading", title="Касса", back_url="/", back_text="Все смарт-карты")

    assert html == (
        '<div class="heading"><a class="back" href="/">Все смарт-карты</a>'
        '<div class="heading-line"><h1>Касса</h1></div></div>'
    )


def test_event_tells_when_what_and_who():
    html = component("event", at=NOW, now=NOW, title="Включена", who="Мария", tone="works")

    assert html.replace(NBSP, " ") == (
        '<li class="event event-works"><p><b>Включена</b></p><p class="meta">'
        '<time datetime="2026-11-22T07:42:00+00:00">сегодня в 10:42</time>· Мария</p></li>'
    )


def test_steps_mark_the_current_one():
    html = component(
        "steps", steps=[Step("Принято", "done", "в 10:40"), Step("Отправлено", "current")]
    )

    assert html == (
        '<ol class="steps"><li class="step step-done"><b>Принято</b>'
        '<span class="hint">в 10:40</span></li>'
        '<li class="step step-current" aria-current="step"><b>Отправлено</b></li></ol>'
    )


def test_live_part_holds_its_first_state_without_scripts():
    html = component(
        "live",
        fragment="ui/steps.html",
        refresh_url="/cards/1/state/",
        steps=[Step("Принято", "done")],
    )

    assert html == (
        '<div data-refresh-url="/cards/1/state/" data-refresh-seconds="5"><ol class="steps">'
        '<li class="step step-done"><b>Принято</b></li></ol></div>'
    )


def test_confirm_shows_the_sum_then_the_two_ways():
    html = component(
        "confirm", url="/pay/", back_url="/", csrf_token="abc",
        rows=[Row("2 смарт-карты", "600 ₽")], total="600 ₽",
    )  # fmt: skip

    assert html == (
        '<form class="card narrow" method="post" action="/pay/">'
        '<input type="hidden" name="csrfmiddlewaretoken" value="abc">'
        '<dl class="rows sums"><div class="row"><dt>2 смарт-карты</dt><dd>600 ₽</dd></div>'
        '<div class="row total"><dt>Итого</dt><dd class="nowrap">600 ₽</dd></div></dl>'
        '<div class="actions"><span class="action"><button class="button button-primary"'
        ' type="submit">Подтвердить</button></span>'
        '<span class="action"><a class="button button-secondary" href="/">Назад</a></span>'
        "</div></form>"
    )


def test_pagination_keeps_the_filter_of_the_list():
    request = RequestFactory().get("/?state=off&page=2")
    page = Paginator(range(30), 10).page(2)

    html = squeezed(render_to_string("ui/pagination.html", {"page": page}, request=request))

    assert re.findall(r'href="([^"]*)"', html) == ["?state=off&amp;page=1", "?state=off&amp;page=3"]
    assert "Страница 2 из 3" in html


def test_pagination_of_one_page_is_nothing():
    assert component("pagination", page=Paginator(range(3), 10).page(1)) == ""


def test_iccid_on_screen_is_grouped_and_copied_whole():
    html = rendered("{% iccid_copy number %}", number="8970 1011 234")

    assert html == (
        '<span class="copyable"><span class="number"><span>8970</span><span>1011</span>'
        '<span>234</span></span><button class="copy" type="button" data-copy="89701011234"'
        ' data-copied="Скопировано" hidden>Копировать</button></span>'
    )


def test_message_levels_have_a_look():
    looks = [ui.note_tone(level) for level in ("debug", "info", "success", "warning", "error", "")]

    assert looks == ["info", "info", "success", "warning", "error", "info"]


# Frames


def test_frame_shows_navigation_company_and_support():
    html = render_to_string(
        "base.html",
        {
            "navigation": [
                Link("Смарт-карты", "/", active=True),
                Link("Подписка", "/subscription/"),
            ],
            "merchant_name": "ИП Ёлкина",
            "several_merchants": True,
            "support_phone": "+7 800 555-01-00",
            "support_email": "support@kassa.example",
            "legal_links": [Link("Публичная оферта", "/offer/")],
            "sandbox_now": NOW,
            "csrf_token": "abc",
        },
    )

    assert re.findall(r'<a [^>]*href="([^"]*)"', html) == [
        "#content", "/", "#menu", "#content", "/", "/subscription/", "/merchants/", "/profile/",
        "tel:+78005550100", "mailto:support@kassa.example", "/offer/",
    ]  # fmt: skip
    assert '<a href="/" aria-current="page">Смарт-карты</a>' in html
    assert '<form method="post" action="/logout/">' in html
    assert "Песочница: сейчас 22 ноября 2026 г., 10:42" in html.replace(NBSP, " ")
    assert '<html lang="ru">' in html


@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "500"])
def test_error_page_needs_nothing_and_has_one_way_out(name):
    html = render_to_string(f"{name}.html")

    assert html.count("<h1>") == 1
    assert '<a class="button button-primary" href="/">На главную</a>' in html
    assert "Песочница" not in html


# What may never be there


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_template_compiles(path):
    get_template(str(path.relative_to(ROOT / "templates")))


INLINE = re.compile(
    r"<style\b|\sstyle\s*=|<[^>]*\son[a-z]+\s*=|javascript:|<script(?![^>]*\ssrc=)", re.IGNORECASE
)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_template_has_nothing_inline(path):
    assert INLINE.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "bad",
    [
        "<style>",
        '<p style="a">',
        '<a onclick="b">',
        "<script>",
        '<a href="javascript:c">',
        "<b\nonload=d>",
    ],
)
def test_inline_pattern_sees(bad):
    assert INLINE.search(bad)


# First Chrome with it: grid 57, variables 49, sticky 56, gap 84, :is 88, inset 87, min() 79.
NEW_STYLE = re.compile(
    r"display:\s*(?:inline-)?grid|var\(|--[a-z]|(?<![a-z])gap\s*:|sticky|:is\(|:where\(|:has\("
    r"|aspect-ratio|(?<![a-z-])inset\s*:|min\(|max\(|clamp\(|@layer|@container|#[0-9a-f]{8}\b"
    r"|margin-inline|padding-inline",
    re.IGNORECASE,
)
# Arrows 45, let, const and classes 49, templates 41, fetch 42, closest 41, includes 47, spread 46.
NEW_SCRIPT = re.compile(
    r"=>|\b(?:let|const|class|async|await|import|export|yield)\s|`|\bfetch\(|\.closest\(|\.includes\("
    r"|\.\.\.|Object\.(?:entries|values|assign)|URLSearchParams|IntersectionObserver|\?\.|\?\?"
    r"|\.(?:append|remove|prepend|forEach)\(|padStart"
)


def code_of(path: Path) -> str:
    """The file without its comments."""
    return re.sub(
        r"/\*.*?\*/|^\s*//.*?$",
        "",
        path.read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_style_sheet_is_understood_by_chrome_39(path):
    assert NEW_STYLE.findall(code_of(path)) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_script_is_understood_by_chrome_39(path):
    assert NEW_SCRIPT.findall(code_of(path)) == []


@pytest.mark.parametrize(
    "bad", ["display: grid", "a{gap:1px}", "var(--a)", "position:sticky", ":is(a)"]
)
def test_style_pattern_sees(bad):
    assert NEW_STYLE.search(bad)


@pytest.mark.parametrize(
    "bad", ["() => 1", "let a", "const b", "`c`", "fetch(d)", "list.forEach(e)"]
)
def test_script_pattern_sees(bad):
    assert NEW_SCRIPT.search(bad)


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_flexbox_has_its_older_twin(path):
    css = code_of(path)
    twins = [
        (len(re.findall(rf"(?<![-\w]){word}", css)), len(re.findall(rf"-webkit-{word}", css)))
        for word in (r"flex(?:-wrap|-basis)?\s*:", r"align-items\s*:", r"transform\s*:")
    ]

    assert [plain for plain, _ in twins] == [webkit for _, webkit in twins]
    assert len(re.findall(r"display:\s*flex", css)) == len(
        re.findall(r"display:\s*-webkit-flex", css)
    )


def test_styles_and_scripts_are_light():
    assert sum(path.stat().st_size for path in [*STYLES, *SCRIPTS]) <= 32 * 1024


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("text", "background"),
    [
        ("#231f20", "#21c68b"),
        ("#231f20", "#1eb27d"),
        ("#0771bd", "#ffffff"),
        ("#0667ac", "#f4f6f8"),
        ("#0667ac", "#ffe8e8"),
        ("#666666", "#f4f6f8"),
        ("#494d59", "#edf0f3"),
        ("#5f6368", "#edf0f3"),
        ("#0b6b48", "#e4f8f1"),
        ("#075c9c", "#e6f4fd"),
        ("#8a4b00", "#fff1dc"),
        ("#b3110f", "#ffe8e8"),
        ("#7a4300", "#fff1dc"),
        ("#c41210", "#ffffff"),
    ],
)
def test_text_stands_out_from_its_background(text, background):
    css = (ROOT / "static/css/cabinet.css").read_text().replace("#fff;", "#ffffff;")

    assert {text, background} <= {*re.findall(r"#[0-9a-f]{6}\b", css), "#666666"}
    assert contrast(text, background) >= 4.5
