"""The company's requisites."""

from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.models import Merchant


@dataclass(frozen=True)
class Requisites:
    """What a company says of itself; empty where it has not said it. `phone` is E.164 without plus."""

    name: str
    inn: str
    kpp: str
    ogrn: str
    address: str
    phone: str
    email: str
    timezone: str


@transaction.atomic
def update_company(*, merchant: Merchant, requisites: Requisites, by: Actor, at: datetime) -> None:
    """Keep the requisites; the journal names the fields that changed, not their values."""
    merchant = Merchant.objects.select_for_update().get(pk=merchant.pk)
    new = asdict(requisites)
    changed = [field for field, value in new.items() if getattr(merchant, field) != value]
    if not changed:
        return
    for field in changed:
        setattr(merchant, field, new[field])
    merchant.save(update_fields=changed)
    titles = {field.name: str(field.verbose_name) for field in Merchant._meta.fields}
    names = ", ".join(titles[field] for field in changed)
    audit.record(
        target=merchant,
        action="company.changed",
        text=f"Изменены реквизиты: {names}",
        by=by,
        at=at,
        merchant_id=merchant.pk,
    )
