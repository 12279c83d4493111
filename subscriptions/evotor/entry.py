"""The way in from the market's cabinet: proof of the account, and one-time tickets for a new window."""

import hmac
import re
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from cabinet.crypto import fingerprint
from cabinet.models import Merchant
from subscriptions.evotor.models import Account, EntryTicket

TICKET_LIFETIME = timedelta(minutes=5)
_UID = re.compile(r"[0-9]{2}-[0-9]{15}")


def merchant_by_token(*, uid: str, token: str) -> Merchant | None:
    """Whose cabinet it is: `token` is ours from user/create or Evotor's from user/token, of that very `uid`.

    None for anything else, without a word of what was wrong. Compares in constant time.
    """
    if not _UID.fullmatch(uid) or not token:
        return None
    account = (
        Account.objects.select_related("merchant").filter(merchant__evotor_user_id=uid).first()
    )
    if account is None:
        return None
    shown = fingerprint(token)
    ours = hmac.compare_digest(account.token_fingerprint, shown)
    theirs = hmac.compare_digest(account.cloud_token_fingerprint, shown)
    return account.merchant if ours or theirs else None


def issue_ticket(*, merchant: Merchant, at: datetime) -> str:
    """A ticket of `TICKET_LIFETIME` for one entry; only its fingerprint is kept. Old ones are forgotten."""
    EntryTicket.objects.filter(expires_at__lt=at - TICKET_LIFETIME).delete()
    ticket = secrets.token_urlsafe(32)
    EntryTicket.objects.create(
        fingerprint=_mark(ticket), merchant=merchant, expires_at=at + TICKET_LIFETIME
    )
    return ticket


def ticket_merchant(*, ticket: str, at: datetime) -> Merchant | None:
    """Whose ticket it is while it may still be used; the ticket stays."""
    row = _unused(ticket, at).select_related("merchant").first()
    return row.merchant if row else None


@transaction.atomic
def spend_ticket(*, ticket: str, at: datetime) -> Merchant | None:
    """Use the ticket up. None for one that is used, old, or never was; of two at once one gets None."""
    row = _unused(ticket, at).select_for_update(of=("self",)).select_related("merchant").first()
    if row is None:
        return None
    row.used_at = at
    row.save(update_fields=["used_at"])
    return row.merchant


def _unused(ticket: str, at: datetime) -> QuerySet[EntryTicket]:
    return EntryTicket.objects.filter(fingerprint=_mark(ticket), used_at=None, expires_at__gt=at)


def _mark(ticket: str) -> str:
    return fingerprint(f"entry-ticket:{ticket}")
