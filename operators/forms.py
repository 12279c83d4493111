"""Forms in which staff keep a contract with an operator."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from cryptography import x509
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator

from cabinet.crypto import Undecryptable
from operators import registry
from operators.models import OperatorAccount
from operators.ports import Capabilities, Field

KEPT = "Сохранён. Оставьте пустым, чтобы не менять."
_POLL_STEPS = 30


class SecondsListField(forms.CharField):
    """Pauses in seconds, typed as «5, 10, 30»; gives a list of positive numbers."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(_number(pause) for pause in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        return [_pause(part) for part in text.replace(";", ",").split(",") if part.strip()]

    def validate(self, value: Any) -> None:
        super().validate(value)
        if len(value) > _POLL_STEPS:
            raise ValidationError(f"Не больше {_POLL_STEPS} пауз: последняя повторяется.")

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(list(initial or []) != self.to_python(data))
        except ValidationError:
            return True


def _number(pause: float) -> str:
    return f"{pause:g}"


def _pause(text: str) -> float:
    try:
        pause = float(text)
    except ValueError as error:
        raise ValidationError("Запишите паузы числами через запятую: 5, 10, 30.") from error
    if not math.isfinite(pause) or not 0 < pause <= 86400:
        raise ValidationError("Пауза больше нуля и не длиннее суток (86400 с).")
    return int(pause) if pause == int(pause) else pause


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]
    """One contract; derived classes add the keys of their protocol (`account_form`).

    A secret is written and never shown: an empty field keeps what is stored.
    """

    capabilities: ClassVar[Capabilities]

    base_url = forms.URLField(
        label="Адрес API",
        max_length=300,
        assume_scheme="https",
        widget=forms.URLInput(attrs={"class": "vTextField"}),
    )
    poll_plan = SecondsListField(
        label="План опроса, с",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Паузы перед вопросами о принятом запросе, через запятую; последняя повторяется.",
    )

    class Meta:
        model = OperatorAccount
        fields = (
            "title",
            "code",
            "enabled",
            "base_url",
            "ca_bundle",
            "per_second",
            "per_minute",
            "concurrency",
            "timeout_seconds",
            "lease_seconds",
            "quiet_seconds",
            "deadline_seconds",
            "poll_plan",
            "usual_seconds",
            "worst_seconds",
            "brake_cards",
            "brake_percent",
        )
        widgets = {"ca_bundle": forms.Textarea(attrs={"rows": 6, "spellcheck": "false"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stored = stored_credentials(self.instance)
        for field in self.capabilities.credentials:
            self._prepare(field)
        if "brake_percent" in self.fields:
            self.fields["brake_percent"].validators.append(MaxValueValidator(100))

    def _prepare(self, field: Field) -> None:
        shown = self.fields.get(credential_name(field))
        if shown is None:  # staff who may only look are given no form fields
            return
        known = field.name in self._stored
        shown.required = field.required and not (field.secret and known)
        if field.secret and known:
            shown.help_text = KEPT
        elif not field.secret:
            shown.initial = self._stored.get(field.name, "")

    def clean_base_url(self) -> str:
        address: str = self.cleaned_data["base_url"].rstrip("/")
        if not settings.SANDBOX and not address.startswith("https://"):
            raise ValidationError(
                "Ключи и номера нельзя передавать открыто: адрес начинается с https://."
            )
        return address

    def clean_ca_bundle(self) -> str:
        text: str = self.cleaned_data["ca_bundle"].strip()
        if text:
            _check_pem(text)
        return text

    def credentials(self) -> dict[str, str]:
        """The keys after this form: what was typed, what was kept, without what was removed."""
        typed = {field.name: self._typed(field) for field in self.capabilities.credentials}
        return {name: value for name, value in typed.items() if value}

    def _typed(self, field: Field) -> str:
        value: str = self.cleaned_data.get(credential_name(field), "")
        if not field.secret or value:
            return value
        removed = self.cleaned_data.get(removal_name(field), False)
        return "" if removed else self._stored.get(field.name, "")

    def save(self, commit: bool = True) -> Any:
        self.instance.credentials = self.credentials()
        return super().save(commit)

    def changed_titles(self) -> list[str]:
        """What was changed, in words; never the values."""
        return [f"«{self.fields[name].label}»" for name in self.changed_data]


def stored_credentials(account: OperatorAccount) -> dict[str, str]:
    """The account's keys; none where they were written with a key that is lost: staff type them anew."""
    try:
        return dict(account.credentials)
    except Undecryptable:
        return {}


def account_form(adapter: str) -> type[AccountForm]:
    """The form of a contract of that protocol. Raises `registry.NoSuchAdapter`."""
    capabilities = registry.capabilities(adapter)
    fields: dict[str, Any] = {"capabilities": capabilities}
    for field in capabilities.credentials:
        fields[credential_name(field)] = _credential(field)
        if _removable(field):
            fields[removal_name(field)] = forms.BooleanField(
                label=f"Убрать: {field.label}", required=False
            )
    return type("AccountForm", (AccountForm,), fields)


def credential_name(field: Field) -> str:
    """The form's name of a key."""
    return f"credential_{field.name}"


def removal_name(field: Field) -> str:
    """The form's name of the mark that takes a key away."""
    return f"remove_{field.name}"


def credential_names(capabilities: Capabilities) -> list[str]:
    """The form's names of all keys and marks, in the order of the protocol."""
    names: list[str] = []
    for field in capabilities.credentials:
        names.append(credential_name(field))
        if _removable(field):
            names.append(removal_name(field))
    return names


def defaults(capabilities: Capabilities) -> dict[str, Any]:
    """What a new contract of the protocol begins with."""
    return {
        "title": capabilities.title,
        "per_second": capabilities.per_second,
        "per_minute": capabilities.per_minute,
        "concurrency": capabilities.concurrency,
        "poll_plan": _listed(capabilities.poll_plan),
        "quiet_seconds": round(capabilities.quiet_seconds),
        "deadline_seconds": round(capabilities.deadline_seconds),
    }


def _listed(pauses: Sequence[float]) -> str:
    return ", ".join(_number(pause) for pause in pauses)


def _removable(field: Field) -> bool:
    return field.secret and not field.required


def _credential(field: Field) -> forms.CharField:
    # A password field is never filled in by Django, whatever the form holds.
    widget: forms.Widget = (
        forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"})
        if field.secret
        else forms.TextInput(attrs={"autocomplete": "off", "class": "vTextField"})
    )
    return forms.CharField(
        label=field.label, required=field.required, max_length=2000, widget=widget
    )


def _check_pem(text: str) -> None:
    try:
        x509.load_pem_x509_certificates(text.encode("ascii"))
    except ValueError as error:  # a UnicodeEncodeError is one too
        raise ValidationError(
            "Это не сертификаты PEM. Вставьте текст целиком, со строками BEGIN CERTIFICATE и END CERTIFICATE."
        ) from error
