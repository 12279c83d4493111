"""What the pages of the cards read from a request."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from cabinet.models import Merchant, Terminal
from cabinet.wording import sort_key
from smartcards.models import SmartCard
from smartcards.pages.choice import PAGE_SIZE
from smartcards.pages.overview import Shelf, Wish

# Ten more than a page shows; a longer list was not made by our page.
_MOST_BOXES = PAGE_SIZE + 10


class WishForm(forms.Form):
    """The filter of the first page. What makes no sense in an address is left out, not complained of."""

    q = forms.CharField(label="Номер, подпись, магазин или касса", max_length=100, required=False)
    state = forms.ChoiceField(
        choices=[(shelf.value, shelf.name) for shelf in Shelf], required=False
    )
    page = forms.CharField(max_length=10, required=False)

    def wish(self) -> Wish:
        """What was asked for, as far as it can be understood."""
        self.full_clean()
        said = self.cleaned_data
        return Wish(
            text=said.get("q", ""), shelf=Shelf(said.get("state", "")), page=said.get("page") or "1"
        )


class IdsField(forms.CharField):
    """Numbers of cards, comma-separated."""

    def clean(self, value: Any) -> frozenset[int]:
        text = super().clean(value)
        return numbers(text.split(",")) if text else frozenset()


def numbers(texts: list[str]) -> frozenset[int]:
    """The card numbers among these texts. Raises ValidationError for anything else."""
    if len(texts) > _MOST_BOXES or not all(len(text) < 19 and text.isdecimal() for text in texts):
        raise forms.ValidationError("Список смарт-карт не читается. Обновите страницу.")
    return frozenset(int(text) for text in texts)


class BoxesField(forms.Field):
    """Ticked boxes; none ticked is a choice too."""

    widget = forms.SelectMultiple

    def clean(self, value: Any) -> frozenset[int]:
        return numbers(list(value or []))


class ChoiceForm(forms.Form):
    """Boxes of one page: which were shown, which are ticked, what the person has confirmed."""

    shown = IdsField(required=False, max_length=4000)
    cards = BoxesField(required=False)
    confirmed = forms.CharField(required=False, max_length=40000)
    back = forms.CharField(required=False, max_length=1)


class TerminalField(forms.ModelChoiceField):
    """Tills under the names of their shops, sorted as Russian lists are."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name} — {obj.shop.name}" if obj.shop else str(obj.name)


class DescribeForm(forms.Form):
    """The label of a card and the till it works in."""

    label = forms.CharField(
        label="Подпись",
        max_length=100,
        required=False,
        help_text="Видна только вашей компании. Например, «запасная» или «летняя веранда».",
    )
    terminal = TerminalField(
        label="Касса", queryset=Terminal.objects.none(), required=False, empty_label="Без кассы"
    )

    def __init__(self, *args: Any, card: SmartCard, **kwargs: Any) -> None:
        initial = {"label": card.label, "terminal": card.terminal_id}
        super().__init__(*args, initial=initial, **kwargs)
        rows = terminals_for(card)
        field = self.fields["terminal"]
        assert isinstance(field, TerminalField)  # noqa: S101 - tells the type checker which field it is
        field.queryset = rows
        field.choices = _sorted_choices(field, rows)


def terminals_for(card: SmartCard) -> QuerySet[Terminal]:
    """The merchant's tills that Evotor still knows, and the one where the card is now."""
    merchant: Merchant | None = card.merchant
    known = Terminal.objects.filter(merchant=merchant)
    return (known.filter(gone_at=None) | known.filter(pk=card.terminal_id)).select_related("shop")


def _sorted_choices(field: TerminalField, rows: QuerySet[Terminal]) -> list[tuple[Any, str]]:
    named = [(row.pk, field.label_from_instance(row)) for row in rows]
    return [("", "Без кассы"), *sorted(named, key=lambda choice: sort_key(choice[1]))]
