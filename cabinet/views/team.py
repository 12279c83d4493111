"""Who works in the company: the owner's pages."""

from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.accounts import queries
from cabinet.accounts.access import MerchantRequest, merchant_page, own_or_404, redirect_with_error
from cabinet.accounts.confirmation import require_code
from cabinet.accounts.services import team as service
from cabinet.enums import Right, Role
from cabinet.errors import Refused
from cabinet.forms.people import NewMemberForm, RoleForm
from cabinet.models import Member

_PAGE = ["GET", "HEAD", "POST"]


@require_http_methods(_PAGE)
@merchant_page(Right.MANAGE_TEAM)
def team(request: MerchantRequest) -> HttpResponseBase:
    """The list, and the form of a new member."""
    form = NewMemberForm(request.POST or None, initial={"role": Role.CASHIER})
    if form.is_valid():
        require_code(request)
    if form.is_valid() and _added(request, form):
        return redirect("team")
    context = {"form": form, "members": queries.team_of(request.merchant)}
    return render(request, "cabinet/team.html", context)


def _added(request: MerchantRequest, form: NewMemberForm) -> bool:
    data = form.cleaned_data
    try:
        service.add_member(
            merchant=request.merchant,
            phone=data["phone"],
            name=data["name"],
            role=Role(data["role"]),
            by=request.actor,
            at=clock.now(),
        )
    except Refused as refusal:
        form.add_error("phone", refusal.sentence)
        return False
    messages.success(request, f"{data['name']} теперь может войти по своему номеру телефона.")
    return True


@require_http_methods(_PAGE)
@merchant_page(Right.MANAGE_TEAM)
def member(request: MerchantRequest, pk: int) -> HttpResponseBase:
    """One member: another role, or out of the company."""
    row = own_or_404(Member.objects.select_related("user"), request.merchant, pk=pk)
    if request.POST.get("do") == "remove":
        require_code(request)
        return _remove(request, row)
    form = RoleForm(request.POST or None, initial={"role": row.role})
    if form.is_valid():
        require_code(request)
        return _change(request, row, Role(form.cleaned_data["role"]))
    return render(request, "cabinet/member.html", {"form": form, "row": row})


def _change(request: MerchantRequest, row: Member, role: Role) -> HttpResponseBase:
    try:
        service.change_role(member=row, role=role, by=request.actor, at=clock.now())
    except Refused as refusal:
        messages.error(request, refusal.sentence)
        return redirect("member", pk=row.pk)
    messages.success(request, f"{row.shown_name} теперь {role.label}.")
    return redirect("team" if row.pk != request.member.pk else "/")


def _remove(request: MerchantRequest, row: Member) -> HttpResponseBase:
    try:
        service.remove_member(member=row, by=request.actor, at=clock.now())
    except Refused as refusal:
        return redirect_with_error(request, refusal, "team")
    messages.success(request, f"{row.shown_name} больше не входит в эту компанию.")
    return redirect("team" if row.pk != request.member.pk else "merchants")
