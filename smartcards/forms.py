"""What the pages of the cards read from a request."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from django import forms
from django.db.models import Q, QuerySet

from cabinet.models import Terminal
from cabinet.wording import sort_key
from smartcards.models import SmartCard
from smartcards.pages import terms, words
from smartcards.pages.choice import PAGE_SIZE
from smartcards.pages.overview import Shelf, Wish
from smartcards.states import Withdrawal
from subscriptions.rules import SwitchTerms

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


class AgreedForm(forms.Form):
    """The price a person has seen, in kopecks."""

    fee = forms.IntegerField(min_value=0, max_value=10**9)


class WithdrawForm(forms.Form):
    """Why a card leaves use; `confirmed` comes from the page that tells what it means."""

    because = forms.TypedChoiceField(
        label="Что случилось",
        choices=[
            (Withdrawal.LOST, "Потеряна"),
            (Withdrawal.STOLEN, "Украдена"),
            (Withdrawal.BROKEN, "Сломана"),
        ],
        coerce=Withdrawal,
        widget=forms.RadioSelect,
        error_messages={"required": "Отметьте, что случилось."},
    )
    confirmed = forms.BooleanField(required=False, widget=forms.HiddenInput)


class ReplaceForm(forms.Form):
    """Which new card takes the place."""

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
    named = (
        " ".join(words.number_of(card).groups),
        card.account.title,
        card.label,
        words.place_of(card),
        terms.fee_line(found),
    )
    return ", ".join(filter(None, named))


class DescribeForm(forms.Form):
    """The label of a card and the till it works in."""

    label = forms.CharField(
        label="Подпись",
        max_length=100,
        required=False,
        help_text="Видна только вашей компании. Например, «запасная» или «летняя веранда».",
    )
    terminal = forms.ChoiceField(label="Касса", required=False)

    def __init__(self, data: Mapping[str, Any] | None = None, *, card: SmartCard) -> None:
        super().__init__(data, initial={"label": card.label, "terminal": card.terminal_id})
        self._tills = {str(till.pk): till for till in tills_for(card)}
        named = [(pk, _till_name(till)) for pk, till in self._tills.items()]
        choices = [("", "Без кассы"), *sorted(named, key=lambda choice: sort_key(choice[1]))]
        cast("forms.ChoiceField", self.fields["terminal"]).choices = choices

    def clean_terminal(self) -> Terminal | None:
        """The till itself; only the merchant's own are among the choices."""
        return self._tills.get(self.cleaned_data["terminal"])


def tills_for(card: SmartCard) -> QuerySet[Terminal]:
    """The merchant's tills that Evotor still knows, and the one where the card is now."""
    tills = Terminal.objects.filter(Q(gone_at=None) | Q(cards=card), merchant=card.merchant_id)
    return tills.select_related("shop").distinct()


def _till_name(till: Terminal) -> str:
    return f"{till.name} — {till.shop.name}" if till.shop else till.name
