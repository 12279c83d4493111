"""System checks of the operators: adapters that cannot be used, contracts whose address is not allowed."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from cabinet.crypto import Undecryptable
from operators import registry
from operators.client.allowed_networks import leads_inside
from operators.declarative.capabilities import called_addresses
from operators.declarative.validation import validate
from operators.models import OperatorAccount


@register()
def adapters(**_kwargs: Any) -> list[CheckMessage]:
    """Each dotted path of OPERATORS leads to a class that has what the port asks for."""
    return [
        Error(f"Operator adapter {code!r}: {problem}", id="operators.E001")
        for code in settings.OPERATORS
        if (problem := registry.problem(code))
    ]


@register(Tags.database, deploy=True)
def contracts_cut_off(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """No working contract leads to an inner network that OPERATOR_NETWORKS does not list. Names are resolved
    from here.
    """
    return [
        Error(
            f"The contract {account.code!r} is cut off: {address} leads to a network that is not in OPERATOR_NETWORKS.",
            hint="List the operator's network in OPERATOR_NETWORKS, or correct the contract's address.",
            id="operators.E002",
        )
        for account in _working_contracts(databases)
        for address in _called(account)
        if leads_inside(_host(address), resolve=True)
    ]


@register(Tags.database, deploy=True)
def descriptions(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Every working contract whose protocol is described can be used: a later version may know more mistakes."""
    return [
        Error(
            f"The contract {account.code!r} is cut off: its description is not valid any more: {problem}.",
            hint="Correct the description on the contract's page.",
            id="operators.E003",
        )
        for account in _working_contracts(databases)
        if account.adapter in settings.OPERATORS and registry.is_declarative(account.adapter)
        for problem in validate(account.profile)
    ]


def _called(account: OperatorAccount) -> list[str]:
    """Every address that gets the contract's keys; not those among keys that cannot be read."""
    addresses = called_addresses(account.base_url, account.profile)
    try:
        known, keys = registry.capabilities(account.adapter), account.credentials
    except (registry.NoSuchAdapter, ImportError, Undecryptable):
        return addresses
    return [*addresses, *known.addresses_in(keys).values()]


def _host(address: str) -> str:
    """ "" for what is no address: it is never called."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _working_contracts(databases: Sequence[str] | None) -> list[OperatorAccount]:
    """None without a database or its tables, of which others tell."""
    if not databases:
        return []
    working = OperatorAccount.objects.filter(enabled=True).order_by("code")
    fields = ("code", "base_url", "adapter", "profile", "credentials")
    try:
        return list(working.only(*fields))
    except DatabaseError:
        return []
