"""Forms in which staff keep a contract with an operator."""

from collections.abc import Mapping
from typing import Any, ClassVar

from cryptography import x509
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator

from cabinet.crypto import Undecryptable
from operators import callbacks, registry
from operators.declared.abilities import account_defaults
from operators.declared.changes import changes
from operators.declared.profile import InvalidProfile
from operators.declared.validate import validate
from operators.form_fields import (
    ProfileField,
    RoublesField,
    SecondsListField,
    SecretsField,
    WindowsField,
    seconds_text,
)
from operators.models import LEASE_OF_CALLS, OperatorAccount
from operators.ports import Capabilities, Field

KEPT = "Сохранён. Оставьте пустым, чтобы не менять."
_ONE_A_LINE = "Пока оператор меняет ключ, впишите два, по одному в строке: подойдёт любой."
_ONE_AT_A_TIME = (
    "Этот оператор принимает вызовы только по одному."
    " Оставьте 1 или отметьте ниже, что он разрешил больше."
)
_SECRET = {"autocomplete": "new-password", "class": "vTextField"}


class ReasonForm(forms.Form):
    """Why staff do what they do."""

    reason = forms.CharField(
        label="Причина",
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "class": "vLargeTextField"}),
        error_messages={"required": "Укажите причину."},
    )


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]
    """One contract; derived classes add the keys of their protocol (`account_form`).

    A secret is written and never shown: an empty field keeps what is stored.
    """

    capabilities: ClassVar[Capabilities]
    # What a new contract begins with, by the names of the account's fields.
    usual: ClassVar[Mapping[str, Any]]
    # More calls at once are asked for twice: the protocol takes one.
    one_at_a_time: ClassVar[bool]

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
    maintenance_windows = WindowsField(
        label="Окна работ у оператора",
        required=False,
        help_text="По одному в строке, время московское: «пн–пт 02:00–04:30», «ежедневно 23:50–00:30»,"
        " «вс 03:00–05:00». В это время команды ждут в очереди.",
    )
    activation_fee_kopecks = RoublesField(label="Плата за включение, ₽", required=False)
    deactivation_fee_kopecks = RoublesField(label="Плата за отключение, ₽", required=False)
    new_callback_secret = SecretsField(
        label="Ключ подписи уведомлений",
        required=False,
        max_length=2000,
        most=2,
        help_text=_ONE_A_LINE,
    )
    remove_callback_secret = forms.BooleanField(
        label="Убрать: ключ подписи уведомлений", required=False
    )
    concurrency_allowed = forms.BooleanField(
        label="Оператор разрешил нам несколько вызовов сразу",
        required=False,
        help_text="По правилам протокола вызовы идут строго по одному: второй одновременный вызов оператор"
        " отклонит. Отметьте, только если он разрешил больше письменно.",
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
            "maintenance_windows",
            "reserve_percent",
            "cooldown_seconds",
            "activation_fee_kopecks",
            "deactivation_fee_kopecks",
            "min_active_days",
            "min_inactive_days",
            "silence_hours",
            "hold_hours",
            "brake_cards",
            "brake_percent",
        )
        widgets = {"ca_bundle": forms.Textarea(attrs={"rows": 6, "spellcheck": "false"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.taken: list[str] = []
        # The description may bring it.
        self.fields["base_url"].required = "profile" not in self.fields
        self._stored = stored_credentials(self.instance)
        for field in self.capabilities.credentials:
            self._prepare(field)
        self.fields["new_callback_secret"].help_text += _kept_secrets(self.instance)
        self.fields["brake_percent"].validators.append(MaxValueValidator(100))
        if not self.one_at_a_time:
            del self.fields["concurrency_allowed"]

    def _prepare(self, field: Field) -> None:
        shown = self.fields[credential_name(field)]
        known = field.name in self._stored
        shown.required = field.required and not (field.secret and known)
        if field.secret and known:
            shown.help_text = KEPT
        elif not field.secret:
            shown.initial = self._stored.get(field.name, "")

    def clean_base_url(self) -> str:
        address: str = self.cleaned_data["base_url"].rstrip("/")
        if not address:
            return ""
        if not settings.SANDBOX and not address.startswith("https://"):
            raise ValidationError(
                "Ключи и номера нельзя передавать открыто: адрес начинается с https://."
            )
        return address

    def clean(self) -> dict[str, Any]:
        super().clean()
        cleaned: dict[str, Any] = self.cleaned_data
        if cleaned.get("profile"):
            self._take_from_profile(cleaned["profile"])
        call, lease = cleaned.get("timeout_seconds"), cleaned.get("lease_seconds")
        if call and lease is not None and lease < LEASE_OF_CALLS * call:
            self.add_error("lease_seconds", _short_lease(LEASE_OF_CALLS * call))
        self._check_concurrency(cleaned)
        return cleaned

    def _take_from_profile(self, document: Mapping[str, Any]) -> None:
        """What the description proposes comes where staff left the usual; what they typed stays."""
        proposed = account_defaults(document)
        self.taken = [name for name, value in proposed.items() if self._is_to_take(name, value)]
        self.cleaned_data.update((name, proposed[name]) for name in self.taken)
        if "base_url" not in self.errors and not self.cleaned_data.get("base_url"):
            self.add_error("base_url", "Впишите адрес: в описании протокола его нет.")

    def _is_to_take(self, name: str, proposed: Any) -> bool:
        """On a new contract the usual was not typed; later whatever is typed is meant."""
        given = self.cleaned_data.get(name)
        if name in self.errors or given == proposed:
            return False
        if self.instance.pk is None:
            return bool(given == self.usual[name])
        is_typed, is_new = name in self.changed_data, "profile" in self.changed_data
        return is_new and not is_typed and given in self._untyped(name)

    def _untyped(self, name: str) -> list[Any]:
        """What nobody typed: the usual value, and what the description said before."""
        try:
            before = account_defaults(self.instance.profile)
        except InvalidProfile:
            before = {}
        return [self.usual[name], *([before[name]] if name in before else [])]

    def taken_titles(self) -> list[str]:
        """What came from the description, in words."""
        return [f"«{self.fields[name].label}»" for name in self.taken]

    def _check_concurrency(self, cleaned: Mapping[str, Any]) -> None:
        """Only where the protocol takes one call at a time, and only where staff raise it now."""
        before = self.instance.pk and self.initial["concurrency"]
        is_raised = (cleaned.get("concurrency") or 1) > (before or 1)
        if self.one_at_a_time and is_raised and not cleaned["concurrency_allowed"]:
            self.add_error("concurrency", _ONE_AT_A_TIME)

    def clean_ca_bundle(self) -> str:
        text: str = self.cleaned_data["ca_bundle"].strip()
        if text:
            _check_pem(text)
        return text

    def clean_profile(self) -> dict[str, Any]:
        """Only on the form of a declarative protocol. Every mistake is told, with its place."""
        profile: dict[str, Any] = self.cleaned_data["profile"]
        if problems := validate(profile):
            raise ValidationError([str(problem) for problem in problems])
        return profile

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
        typed = self.cleaned_data["new_callback_secret"]
        if typed or self.cleaned_data["remove_callback_secret"]:
            self.instance.callback_secret = typed
        return super().save(commit)

    def has_new_keys(self) -> bool:
        """Whether what the operator knows us by is another now, or whom we ask, or how we log in."""
        asked_otherwise = not {"base_url", "profile"}.isdisjoint(self.changed_data)
        return asked_otherwise or self.credentials() != self._stored

    def changes_of_profile(self) -> dict[str, list[str]]:
        """Every place of the description that is another now, for the journal; never a key's value."""
        if "profile" not in self.changed_data:
            return {}
        return {"profile": changes(self.initial.get("profile") or {}, self.instance.profile)}

    def changed_titles(self) -> list[str]:
        """What was changed, in words; never the values."""
        return [f"«{self.fields[name].label}»" for name in self.changed_data]


def stored_credentials(account: OperatorAccount) -> dict[str, str]:
    """The account's keys; none where they were written with a key that is lost: staff type them anew."""
    try:
        return dict(account.credentials)
    except Undecryptable:
        return {}


def _kept_secrets(account: OperatorAccount) -> str:
    """How many secrets of callbacks are stored, as a sentence; "" where none is."""
    try:
        count = len(callbacks.secrets_of(account))
    except Undecryptable:
        return " Сохранённый ключ не читается: введите его заново."
    return f" Сохранено секретов: {count}. Оставьте пустым, чтобы не менять." if count else ""


def capabilities_of(adapter: str, account: OperatorAccount | None) -> Capabilities:
    """What the contract's protocol can do; a profile that cannot be used describes nothing yet.

    Raises `registry.NoSuchAdapter`.
    """
    try:
        return registry.capabilities(adapter, account.profile if account else None)
    except InvalidProfile:
        return registry.capabilities(adapter)


def account_form(adapter: str, account: OperatorAccount | None = None) -> type[AccountForm]:
    """The form of a contract of that protocol. Raises `registry.NoSuchAdapter`."""
    capabilities = capabilities_of(adapter, account)
    fields: dict[str, Any] = {
        "capabilities": capabilities,
        "one_at_a_time": takes_one_at_a_time(adapter, account),
        "usual": _usual(registry.capabilities(adapter)),
    }
    if registry.is_declarative(adapter):
        fields["profile"] = ProfileField()
    for field in capabilities.credentials:
        fields[credential_name(field)] = _credential(field)
        if _removable(field):
            fields[removal_name(field)] = forms.BooleanField(
                label=f"Убрать: {field.label}", required=False
            )
    return type("AccountForm", (AccountForm,), fields)


def takes_one_at_a_time(adapter: str, account: OperatorAccount | None) -> bool:
    """Whether the operator takes one call at a time by its own rule; a description that names no limit
    is no such rule.
    """
    if registry.is_declarative(adapter):
        limits = (account.profile or {}).get("limits") if account else None
        return isinstance(limits, dict) and limits.get("concurrency") == 1
    return capabilities_of(adapter, account).concurrency == 1


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
        "poll_plan": seconds_text(capabilities.poll_plan),
        "quiet_seconds": round(capabilities.quiet_seconds),
        "deadline_seconds": round(capabilities.deadline_seconds),
    }


def _usual(capabilities: Capabilities) -> dict[str, Any]:
    """The same as values, with what every contract begins with."""
    poll_plan = list(capabilities.poll_plan)
    begun = {"base_url": "", "maintenance_windows": [], "poll_plan": poll_plan}
    return defaults(capabilities) | begun


def _removable(field: Field) -> bool:
    return field.secret and not field.required


def _credential(field: Field) -> forms.CharField:
    # A password field is never filled in by Django, whatever the form holds.
    widget: forms.Widget = (
        forms.PasswordInput(attrs=_SECRET)
        if field.secret
        else forms.TextInput(attrs={"autocomplete": "off", "class": "vTextField"})
    )
    return forms.CharField(
        label=field.label, required=field.required, max_length=2000, widget=widget
    )


def _short_lease(least: int) -> str:
    return (
        f"Не меньше {least}: два предела одного вызова. Перед командой читается подтверждение номера,"
        " и на оба вызова должно хватить одного захвата."
    )


def _check_pem(text: str) -> None:
    try:
        x509.load_pem_x509_certificates(text.encode("ascii"))
    except ValueError as error:  # a UnicodeEncodeError is one too
        raise ValidationError(
            "Это не сертификаты PEM. Вставьте текст целиком, со строками BEGIN CERTIFICATE и END CERTIFICATE."
        ) from error
