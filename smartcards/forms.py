"""What the pages of the cards read from a request."""

from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from typing import Any, cast

from django import forms
from django.db.models import Q, QuerySet

from cabinet.formatting import ru_format
from cabinet.formatting.ru_format import sort_key
from cabinet.forms.fields import PlainTextField
from cabinet.models import Terminal
from smartcards.listing.card_filter import CardFilter
from smartcards.listing.card_pages import SIZES, PageQuery, Sort
from smartcards.models import SmartCard
from smartcards.presentation import display_format, switch_conditions
from smartcards.presentation.list_options import ListQuery
from smartcards.states import MassAction, WithdrawalReason
from subscriptions.rules import SwitchTerms

# Ten more than a page shows; a longer list was not made by our page.
_MOST_BOXES = max(SIZES) + 10
_LARGEST = 2**63 - 1
# Of those that one form carries; more are meant by the filter.
MOST_TICKS = 900
_CHOOSE_ACTION = "Выберите, что сделать с отмеченными смарт-картами."
_OPEN_ANEW = "Откройте страницу заново и повторите."


class ListQueryForm(forms.Form):
    """Which page of the list, in what order. What makes no sense in an address is left out, not complained of."""

    sort = forms.TypedChoiceField(
        choices=[(sort.value, sort.name) for sort in Sort], coerce=Sort, required=False
    )
    size = forms.TypedChoiceField(
        choices=[(size, size) for size in SIZES], coerce=int, required=False
    )
    after = forms.IntegerField(min_value=1, max_value=_LARGEST, required=False)
    before = forms.IntegerField(min_value=1, max_value=_LARGEST, required=False)

    def query(self) -> ListQuery:
        """What was asked for, as far as it can be understood."""
        self.full_clean()
        cleaned = self.cleaned_data
        page = PageQuery(
            sort=cleaned.get("sort") or Sort.SHOP,
            size=cleaned.get("size") or SIZES[0],
            after=cleaned.get("after"),
            before=None if cleaned.get("after") else cleaned.get("before"),
        )
        return ListQuery(wanted=CardFilter.from_data(self.data), page=page)


class ChoiceStep(StrEnum):
    """What a button of «Выбрать карты» does besides keeping the ticks; without one the choice is saved."""

    SAVE = ""
    SHOW = "show"
    TICK_FOUND = "tick_found"
    UNTICK_FOUND = "untick_found"
    DISCARD = "discard"


class IdsField(forms.Field):
    """Numbers of cards: ticked boxes, or one comma-separated text; none is a choice too."""

    def __init__(self, *, most: int = _MOST_BOXES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._most = most

    def clean(self, value: Any) -> frozenset[int]:
        """The numbers; refuses what is no list of them, or a longer one than a page has."""
        texts = value.split(",") if isinstance(value, str) and value else list(value or [])
        if len(texts) > self._most or not all(
            len(text) < 19 and text.isdecimal() for text in texts
        ):
            raise forms.ValidationError("Список смарт-карт не читается. Обновите страницу.")
        return frozenset(int(text) for text in texts)


class TicksForm(forms.Form):
    """Cards ticked on the list, and the shop whose cards are ticked as well."""

    card = IdsField(widget=forms.SelectMultiple, most=MOST_TICKS)
    tick_shop = forms.IntegerField(min_value=1, max_value=_LARGEST, required=False)


class ChoiceForm(forms.Form):
    """Boxes of one page: which were shown, which are ticked, what to do then, what the person has confirmed."""

    shown = IdsField(widget=forms.HiddenInput)
    cards = IdsField(widget=forms.SelectMultiple)
    go = forms.ChoiceField(choices=[(step.value, step.name) for step in ChoiceStep], required=False)
    confirmed = forms.CharField(required=False, max_length=64)


class AgreedForm(forms.Form):
    """The price a person has seen, in kopecks."""

    fee = forms.IntegerField(min_value=0, max_value=10**9)


class WithdrawForm(forms.Form):
    """Why a card leaves use; `confirmed` comes from the page that explains the consequences."""

    because = forms.TypedChoiceField(
        label="Что случилось",
        choices=[
            (WithdrawalReason.LOST, "Потеряна"),
            (WithdrawalReason.STOLEN, "Украдена"),
            (WithdrawalReason.BROKEN, "Сломана"),
        ],
        coerce=WithdrawalReason,
        widget=forms.RadioSelect,
        error_messages={"required": "Отметьте, что случилось."},
    )
    confirmed = forms.BooleanField(required=False, widget=forms.HiddenInput)


class ReplaceForm(forms.Form):
    """Which new card is the replacement."""

    card = forms.TypedChoiceField(
        label="Какая смарт-карта заменит",
        coerce=int,
        widget=forms.RadioSelect,
        error_messages={
            "required": "Отметьте смарт-карту.",
            "invalid_choice": "Этой смарт-картой заменить уже нельзя. Выберите другую.",
        },
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        cards: Iterable[tuple[SmartCard, SwitchTerms]],
    ) -> None:
        super().__init__(data)
        choices = [(card.pk, _card_name(card, found)) for card, found in cards]
        cast("forms.ChoiceField", self.fields["card"]).choices = choices

    @property
    def empty(self) -> bool:
        """Nothing to choose from."""
        return not cast("forms.ChoiceField", self.fields["card"]).choices


def _card_name(card: SmartCard, found: SwitchTerms) -> str:
    name = display_format.name_of(card)
    fee = switch_conditions.fee_text(found)
    shown = (" ".join(name.groups), name.operator, name.label, name.location, fee)
    return ", ".join(filter(None, shown))


class DescribeForm(forms.Form):
    """The label of a card and its terminal."""

    label = PlainTextField(
        label="Подпись",
        max_length=100,
        required=False,
        help_text="Видна только вашей компании. Например, «запасная» или «летняя веранда».",
    )
    terminal = forms.ChoiceField(label="Касса", required=False)

    def __init__(self, data: Mapping[str, Any] | None = None, *, card: SmartCard) -> None:
        super().__init__(data, initial={"label": card.label, "terminal": card.terminal_id})
        self._terminals = {str(terminal.pk): terminal for terminal in terminals_for(card)}
        named = [(pk, _terminal_name(terminal)) for pk, terminal in self._terminals.items()]
        choices = [("", "Без кассы"), *sorted(named, key=lambda choice: sort_key(choice[1]))]
        cast("forms.ChoiceField", self.fields["terminal"]).choices = choices

    def clean_terminal(self) -> Terminal | None:
        """The terminal itself; only the merchant's own are among the choices."""
        return self._terminals.get(self.cleaned_data["terminal"])


def terminals_for(card: SmartCard) -> QuerySet[Terminal]:
    """The merchant's terminals that Evotor still knows, and the one where the card is now."""
    terminals = Terminal.objects.filter(Q(gone_at=None) | Q(cards=card), merchant=card.merchant_id)
    return terminals.select_related("shop").distinct()


def _terminal_name(terminal: Terminal) -> str:
    return f"{terminal.name} — {terminal.shop.name}" if terminal.shop else terminal.name


class MonthForm(forms.Form):
    """Which month's report: one of those that have any; the first day of it."""

    month = forms.TypedChoiceField(label="Месяц", coerce=date.fromisoformat)

    def __init__(self, data: Mapping[str, Any] | None = None, *, months: Iterable[date]) -> None:
        super().__init__(data)
        choices = [(str(month), ru_format.month(month)) for month in months]
        cast("forms.ChoiceField", self.fields["month"]).choices = choices


class MassForm(forms.Form):
    """What to do with which cards: the ticked ones, or all that the filter shows."""

    action = forms.TypedChoiceField(
        choices=MassAction.choices,
        coerce=MassAction,
        error_messages={"required": _CHOOSE_ACTION, "invalid_choice": _CHOOSE_ACTION},
    )
    scope = forms.ChoiceField(choices=[("ticked", "отмеченные"), ("found", "найденные")])
    card = IdsField(widget=forms.SelectMultiple, most=MOST_TICKS, required=False)
    form_key = forms.UUIDField(error_messages=dict.fromkeys(("required", "invalid"), _OPEN_ANEW))


class MassConfirmForm(forms.Form):
    """How many cards the person has read on the button."""

    number = forms.IntegerField(min_value=0, max_value=10**9)


class FormKeyForm(forms.Form):
    """The one-time key of a form that only has a button."""

    form_key = forms.UUIDField(error_messages=dict.fromkeys(("required", "invalid"), _OPEN_ANEW))
