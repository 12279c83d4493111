"""What operators' events add to the first page of staff."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Count, Min
from django.urls import reverse

from cabinet.admin.today import TodayPanel, Waiting
from operators.models import Callback


def _parked_callbacks(at: datetime) -> Iterable[Waiting]:
    parked = Callback.objects.filter(state=Callback.State.PARKED)
    found = parked.aggregate(number=Count("pk"), oldest=Min("received_at"))
    url = reverse("admin:operators_callback_changelist") + "?state__exact=parked"
    yield Waiting("Отложенные события операторов", found["number"], url, found["oldest"])


callbacks_today = TodayPanel("operators.view_callback", _parked_callbacks)
