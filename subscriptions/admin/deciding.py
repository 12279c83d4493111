"""Rows to be looked at, with decisions beside them: who decides, why, and what was typed is never lost."""

import re
from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, ActionForm
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString

from cabinet.admin.readonly import ReadOnlyAdmin
from cabinet.errors import Refused


class ReasonForm(ActionForm):
    """The action bar with a reason, and with days for a gift."""

    reason = forms.CharField(label="Причина:", max_length=300, required=False)
    days = forms.IntegerField(label="Дней:", min_value=1, max_value=366, required=False)


_KEY = re.compile("[0-9]{1,18}")
# Under this name a session keeps what was typed into the action bar of a list and not done.
_TYPED = "subscriptions.typed"


class DecidingAdmin(ReadOnlyAdmin):
    """Rows to be looked at, with decisions that a service carries out.

    What was not done comes back as it was typed, with its rows chosen: only the mistake is typed anew.
    """

    def decide(
        self,
        request: HttpRequest,
        rows: QuerySet[Any],
        act: Callable[[Any], object],
        done: str,
    ) -> None:
        """Call a service for each row; each refusal is shown with the row's name."""
        number, refused = 0, []
        for row in rows:
            try:
                act(row)
                number += 1
            except Refused as refusal:
                refused.append(str(row.pk))
                self.message_user(request, f"{row}: {refusal.sentence}", messages.ERROR)
        if refused:
            is_of_list = rows.model is self.model
            self._keep(request, refused if is_of_list else _chosen(request))
        if number:
            self.message_user(request, f"{done}: {number}.", messages.SUCCESS)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        mistakes = self._mistakes(request)
        for mistake in mistakes:
            self.message_user(request, mistake, messages.ERROR)
        if mistakes:
            self._keep(request, _chosen(request))
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **kwargs)

    def _mistakes(self, request: HttpRequest) -> list[str]:
        """What was typed wrong beside the action: Django would say that no action was chosen."""
        form = self.action_form(request.POST)
        return [
            f"{form.fields[name].label} {mistake}"
            for name, told in form.errors.items()
            for mistake in told
            if name != "action"  # its choices are put in later
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "POST" and not _chosen(request):
            self._keep(request, [])
        kept = self._taken(request)
        if kept is None:
            return super().changelist_view(request, extra_context)
        # What was sent in the place of keys must not close the list for as long as the session lasts.
        keys = [key for key in kept["chosen"] if _KEY.fullmatch(key)]
        cast("Any", request).chosen_again = keys
        form = self.action_form(auto_id=None, initial=kept["typed"])
        cast("forms.ChoiceField", form.fields["action"]).choices = self.get_action_choices(request)
        return super().changelist_view(request, {"action_form": form} | (extra_context or {}))

    def _keep(self, request: HttpRequest, chosen: list[str]) -> None:
        typed = {name: request.POST.get(name, "") for name in ("action", "reason", "days")}
        request.session[_TYPED] = {"page": request.path, "typed": typed, "chosen": chosen}

    def _taken(self, request: HttpRequest) -> dict[str, Any] | None:
        """What was kept for this list, once."""
        kept: dict[str, Any] | None = request.session.get(_TYPED)
        if kept is None or kept["page"] != request.path or request.method != "GET":
            return None
        del request.session[_TYPED]
        return kept

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        chosen: list[str] | None = getattr(request, "chosen_again", None)
        return rows if chosen is None else rows.annotate(is_kept=Q(pk__in=chosen))

    def action_checkbox(self, obj: Model) -> SafeString:
        look = {"class": "action-select", "aria-label": f"Выбрать: {obj}"}
        box = forms.CheckboxInput(look, lambda _pk: getattr(obj, "is_kept", False))
        return box.render(ACTION_CHECKBOX_NAME, str(obj.pk))


def _chosen(request: HttpRequest) -> list[str]:
    """The rows that were ticked in the list."""
    return request.POST.getlist(ACTION_CHECKBOX_NAME)
