"""Forms in which staff keep a contract with an operator."""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cryptography import x509
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator

from cabinet.crypto import Undecryptable
from operators import registry
from operators.admin.form_fields import (
    ProfileField,
    RoublesField,
    SecondsListField,
    SecretsField,
    WindowsField,
)
from operators.admin.profile_text import changes
from operators.client.allowed_networks import leads_inside
from operators.declarative.capabilities import account_defaults, called_addresses
from operators.declarative.validation import InvalidProfile, validate
from operators.events import inbox
from operators.models import LEASE_OF_CALLS, OperatorAccount
from operators.ports import Capabilities, Field

KEPT = "Сохранён. Оставьте пустым, чтобы не менять."
_ONE_A_LINE = "Пока оператор меняет ключ, впишите два, по одному в строке: подойдёт любой."
_ONE_AT_A_TIME = (
    "Этот оператор принимает вызовы только по одному."
    " Оставьте 1 или отметьте ниже, что он разрешил больше."
)
_ASKED_TWICE = (
    "По правилам протокола вызовы идут строго по одному: второй одновременный вызов оператор"
    " отклонит. Отметьте, только если он разрешил больше письменно."
)
_INSIDE = (
    "Адрес {} ведёт во внутреннюю сеть. Сеть оператора, до которого связь по\u00a0VPN, вписывают в\u00a0настройку"
    " OPERATOR_NETWORKS."
)
_NEW_HOST = "Адрес теперь другой: {}. Введите ключ заново, сохранённый туда не\u00a0уйдёт."
_SECRET = {"autocomplete": "new-password", "class": "vTextField"}


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]
    """One contract; derived classes add the keys of their protocol (`account_form`).

    A secret is written and never shown: an empty field keeps what is stored.
    """

    capabilities: ClassVar[Capabilities]
    # What a new contract begins with, by the names of the account's fields.
    usual: ClassVar[Mapping[str, Any]]
    # The names of the fields that the protocol adds: its description and its keys, in its order.
    protocol_fields: ClassVar[tuple[str, ...]]

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

    class Meta:
        model = OperatorAccount
        fields = ()  # the admin names them by its fieldsets
        widgets = {"ca_bundle": forms.Textarea(attrs={"rows": 6, "spellcheck": "false"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.taken: list[str] = []
        self._kept: Mapping[str, str] = {}
        # The description may bring it.
        self.fields["base_url"].required = "profile" not in self.fields
        self._stored = stored_credentials(self.instance)
        for field in self.capabilities.credentials:
            self._prepare(field)
        self.fields["new_callback_secret"].help_text += _kept_secrets(self.instance)
        self.fields["brake_percent"].validators.append(MaxValueValidator(100))

    def _prepare(self, field: Field) -> None:
        shown = self.fields[credential_name(field)]
        known = field.name in self._stored
        shown.required = field.required and not (field.secret and known)
        if field.secret and known:
            shown.help_text = KEPT
        elif not field.secret:
            shown.initial = self._stored.get(field.name, "")

    def clean_base_url(self) -> str:
        """Without the slash at its end; https only, save for the sandbox."""
        address: str = self.cleaned_data["base_url"].rstrip("/")
        if address:
            _check_is_https(address)
        return address

    def clean(self) -> dict[str, Any]:
        """Take what the description proposes, and check what depends on two fields."""
        super().clean()
        cleaned: dict[str, Any] = self.cleaned_data
        if cleaned.get("profile"):
            self._take_from_profile(cleaned["profile"])
        if not {"base_url", "profile"} & self.errors.keys():
            self._check_addresses(cleaned)
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
        """What nobody typed: the usual value, and what the description proposed before."""
        try:
            before = account_defaults(self.instance.profile)
        except InvalidProfile:
            before = {}
        return [self.usual[name], *([before[name]] if name in before else [])]

    def _check_addresses(self, cleaned: Mapping[str, Any]) -> None:
        """No address leads inside, and a new host gets only what is typed for it now."""
        typed = {field.name: self._typed(field) for field in self.capabilities.credentials}
        addresses = self._called(cleaned["base_url"], cleaned.get("profile"), typed)
        for name, address in addresses:
            if leads_inside(urlsplit(address).hostname or "", resolve=False):
                self.add_error(name, _INSIDE.format(address))
        before = self._called(self.instance.base_url, self.instance.profile, self._stored)
        known = {_origin(address) for _, address in before}
        new = next((address for _, address in addresses if _origin(address) not in known), "")
        # Without a host that is new, all that the description still keeps secret.
        self._kept = {} if new else self._still_secret(cleaned.get("profile"))
        for field in self.capabilities.credentials if new and self._stored else ():
            self._ask_anew(field, cleaned.get("profile"), urlsplit(new).netloc.rpartition("@")[2])

    def _called(
        self, base_url: str, profile: Mapping[str, Any] | None, credentials: Mapping[str, str]
    ) -> list[tuple[str, str]]:
        """Every address that gets the account's keys, behind the name of the form's field in which it stands."""
        first, *logins = called_addresses(base_url, profile)
        typed = self.capabilities.addresses_in(credentials)
        return [
            ("base_url", first),
            *(("profile", address) for address in logins),
            *((f"credential_{name}", address) for name, address in typed.items()),
        ]

    def _still_secret(self, document: Mapping[str, Any] | None) -> dict[str, str]:
        """A field that is no secret any more would be shown: its stored value is forgotten."""
        if not self._stored:
            return {}
        named = registry.capabilities(self.instance.adapter, document).credentials
        secret = {field.name for field in named if field.secret}
        return {name: value for name, value in self._stored.items() if name in secret}

    def _ask_anew(self, field: Field, document: Mapping[str, Any] | None, host: str) -> None:
        """A secret that is still wanted has to be typed for a new host, or taken away where it may be."""
        named = registry.capabilities(self.instance.adapter, document).credentials
        name, is_wanted = credential_name(field), field.name in {one.name for one in named}
        is_lacking = not (self.cleaned_data.get(name) or self.cleaned_data.get(removal_name(field)))
        was_there = field.required or field.name in self._stored
        if field.secret and is_wanted and was_there and is_lacking:
            self[name].help_text = ""
            self.add_error(name, _NEW_HOST.format(host))

    def taken_titles(self) -> list[str]:
        """The labels of what came from the description."""
        return [f"«{self.fields[name].label}»" for name in self.taken]

    def _check_concurrency(self, cleaned: Mapping[str, Any]) -> None:
        """Only where the protocol takes one call at a time, and only where staff raise it now."""
        before = self.instance.pk and self.initial["concurrency"]
        is_raised = (cleaned.get("concurrency") or 1) > (before or 1)
        if is_raised and not cleaned.get("concurrency_allowed", True):
            self.add_error("concurrency", _ONE_AT_A_TIME)

    def clean_ca_bundle(self) -> str:
        """Certificates in PEM, or ""."""
        text: str = self.cleaned_data["ca_bundle"].strip()
        if text:
            _check_pem(text)
        return text

    def clean_profile(self) -> dict[str, Any]:
        """Only on the form of a declarative protocol. Every mistake is reported with its field."""
        profile: dict[str, Any] = self.cleaned_data["profile"]
        if problems := validate(profile):
            raise ValidationError([str(problem) for problem in problems])
        return profile

    def credentials(self) -> dict[str, str]:
        """The keys after this form: what was typed, what was kept, without what was removed."""
        typed = {field.name: self._typed(field) for field in self.capabilities.credentials}
        return {name: value for name, value in typed.items() if value}

    def _typed(self, field: Field) -> str:
        value = self.cleaned_data.get(credential_name(field))
        typed = "" if value is None else str(value)
        if not field.secret or typed:
            return typed
        removed = self.cleaned_data.get(removal_name(field), False)
        return "" if removed else self._kept.get(field.name, "")

    def save(self, commit: bool = True) -> Any:
        """Keep the secrets that were not typed anew or removed."""
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
        """Every changed field of the description for the audit log; never a key's value."""
        if "profile" not in self.changed_data:
            return {}
        return {"profile": changes(self.initial.get("profile") or {}, self.instance.profile)}

    def changed_titles(self) -> list[str]:
        """The labels of what was changed; never the values."""
        return [f"«{self.fields[name].label}»" for name in self.changed_data]


def _origin(address: str) -> tuple[str, str, int | None]:
    """What a key belongs to: scheme, host and port. A stored text that is no address is nobody's."""
    try:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", "", None
    return parts.scheme, (parts.hostname or "").lower(), port


def stored_credentials(account: OperatorAccount) -> dict[str, str]:
    """The account's keys; none where they were written with a key that is lost: staff type them anew."""
    try:
        return dict(account.credentials)
    except Undecryptable:
        return {}


def _kept_secrets(account: OperatorAccount) -> str:
    """How many secrets of callbacks are stored, as a sentence; "" where none is."""
    try:
        count = len(inbox.secrets_of(account))
    except Undecryptable:
        return " Сохранённый ключ не читается: введите его заново."
    return f" Сохранено секретов: {count}. Оставьте пустым, чтобы не менять." if count else ""


def account_form(adapter: str, account: OperatorAccount | None = None) -> type[AccountForm]:
    """The form of a contract of that protocol. Raises `registry.NoSuchAdapter`."""
    capabilities = registry.capabilities(adapter, account.profile if account else None)
    more: dict[str, Any] = {}
    if _takes_one_at_a_time(adapter, account, capabilities):
        more["concurrency_allowed"] = forms.BooleanField(
            label="Оператор разрешил нам несколько вызовов сразу",
            required=False,
            help_text=_ASKED_TWICE,
        )
    keys: dict[str, forms.Field] = {}
    if registry.is_declarative(adapter):
        keys["profile"] = ProfileField()
    for field in capabilities.credentials:
        keys[credential_name(field)] = _credential(field)
        if field.secret and not field.required:
            keys[removal_name(field)] = forms.BooleanField(
                label=f"Убрать: {field.label}", required=False
            )
    facts = {
        "capabilities": capabilities,
        "usual": defaults(registry.capabilities(adapter)),
        "protocol_fields": tuple(keys),
    }
    return type("AccountForm", (AccountForm,), facts | more | keys)


def _takes_one_at_a_time(
    adapter: str, account: OperatorAccount | None, capabilities: Capabilities
) -> bool:
    """By the operator's own rule; a description that names no limit is no such rule."""
    if registry.is_declarative(adapter):
        limits = (account.profile or {}).get("limits") if account else None
        return isinstance(limits, dict) and limits.get("concurrency") == 1
    return capabilities.concurrency == 1


def credential_name(field: Field) -> str:
    """The form's name of a key."""
    return f"credential_{field.name}"


def removal_name(field: Field) -> str:
    """The form's name of the mark that takes a key away."""
    return f"remove_{field.name}"


def defaults(capabilities: Capabilities) -> dict[str, Any]:
    """What a new contract of the protocol begins with."""
    return {
        "title": capabilities.title,
        "base_url": "",
        "per_second": capabilities.per_second,
        "per_minute": capabilities.per_minute,
        "concurrency": capabilities.concurrency,
        "poll_plan": list(capabilities.poll_plan),
        "quiet_seconds": round(capabilities.quiet_seconds),
        "deadline_seconds": round(capabilities.deadline_seconds),
    }


def _credential(field: Field) -> forms.Field:
    if field.maximum is not None:
        return forms.IntegerField(
            label=field.label, required=field.required, min_value=0, max_value=field.maximum
        )
    if field.is_address:
        return forms.URLField(
            label=field.label,
            required=field.required,
            max_length=300,
            assume_scheme="https",
            widget=forms.URLInput(attrs={"class": "vTextField"}),
            validators=[_check_is_https],
        )
    # A password field is never filled in by Django, whatever the form holds.
    widget: forms.Widget = (
        forms.PasswordInput(attrs=_SECRET)
        if field.secret
        else forms.TextInput(attrs={"autocomplete": "off", "class": "vTextField"})
    )
    return forms.CharField(
        label=field.label, required=field.required, max_length=2000, widget=widget
    )


def _check_is_https(address: str) -> None:
    if not settings.SANDBOX and not address.startswith("https://"):
        raise ValidationError(
            "Ключи и номера нельзя передавать открыто: адрес начинается с https://."
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
