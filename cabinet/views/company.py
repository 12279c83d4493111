"""The company's requisites."""

from django.contrib import messages
from django.forms.models import model_to_dict
from django.http import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.accounts import rules
from cabinet.accounts.access import MerchantRequest, merchant_page
from cabinet.accounts.services.company import update_company
from cabinet.enums import Right, Role
from cabinet.forms.company import ZONES, CompanyForm


@require_http_methods(["GET", "HEAD", "POST"])
@merchant_page(Right.SEE_COMPANY)
def company(request: MerchantRequest) -> HttpResponseBase:
    """A form for those who may edit, the facts for the others."""
    role = Role(request.member.role)
    if request.method == "POST":
        rules.check_may(role, Right.EDIT_COMPANY)
    initial = model_to_dict(request.merchant, fields=list(CompanyForm.base_fields))
    form = CompanyForm(request.POST or None, initial=initial)
    if form.is_valid():
        update_company(
            merchant=request.merchant,
            requisites=form.cleaned_data,
            by=request.actor,
            at=clock.now(),
        )
        messages.success(request, "Реквизиты сохранены.")
        return redirect("company")
    context = {
        "form": form,
        "may_edit": rules.may(role, Right.EDIT_COMPANY),
        "zone": dict(ZONES).get(request.merchant.timezone, request.merchant.timezone),
    }
    return render(request, "cabinet/company.html", context)
