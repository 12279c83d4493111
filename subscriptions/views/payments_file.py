"""The history of payments to download."""

from zoneinfo import ZoneInfo

from django.http import HttpResponseBase
from django.views.decorators.http import require_safe

from cabinet import clock
from cabinet.accounts.access import MerchantRequest, merchant_page
from cabinet.enums import Right
from cabinet.views.downloads import table_download
from subscriptions.exports import payment_rows


@require_safe
@merchant_page(Right.SEE_SUBSCRIPTION)
def payments_file(request: MerchantRequest, kind: str) -> HttpResponseBase:
    """Everything that was charged or given."""
    today = clock.today(ZoneInfo(request.merchant.timezone))
    rows = payment_rows(request.merchant, clock.now())
    name = f"История оплаты {today:%d.%m.%Y}"
    return table_download(rows, kind=kind, title="История оплаты", name=name)
