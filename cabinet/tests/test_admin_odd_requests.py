"""Whatever stands in the address or the form of an admin list, it is answered and never fails."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from cabinet.tests.people import make_staff

pytestmark = pytest.mark.django_db

ODD = ("a%00b", "99999999999999999999", "x")
_ADMINS = {
    model._meta.label: site_admin
    for model, site_admin in admin.site._registry.items()
    if model is not LogEntry
}


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(make_staff())
    return client


def address(site_admin: "ModelAdmin[Any]") -> str:
    meta = site_admin.model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")


def parameters(site_admin: "ModelAdmin[Any]") -> list[str]:
    """What its own links have in their addresses, and what anybody may write there."""
    names = ["q", "pk__in", "is_odd"]
    for one in site_admin.list_filter[:2]:
        name = one if isinstance(one, str) else one[0] if isinstance(one, tuple) else ""
        names.append(f"{name}__exact" if name else getattr(one, "parameter_name", "q"))
    return names


@pytest.mark.parametrize("label", _ADMINS)
def test_odd_parameter_of_a_list_is_answered(label, boss):
    site_admin = _ADMINS[label]
    boss.raise_request_exception = False

    failed = [
        f"{name}={value}"
        for name in parameters(site_admin)
        for value in ODD
        if boss.get(f"{address(site_admin)}?{name}={value}").status_code >= 500
    ]

    assert failed == []


@pytest.mark.parametrize("selected", ["x", "\0", "99999999999999999999"])
@pytest.mark.parametrize("label", _ADMINS)
def test_odd_selection_of_rows_is_answered(label, selected, boss):
    site_admin = _ADMINS[label]
    boss.raise_request_exception = False
    actions = [
        "delete_selected",
        *(one.__name__ for one in site_admin.actions or () if callable(one)),
    ][:2]

    failed = [
        action
        for action in actions
        if boss.post(
            address(site_admin), {"action": action, "_selected_action": [selected], "index": "0"}
        ).status_code
        >= 500
    ]

    assert failed == []


@pytest.mark.parametrize("label", _ADMINS)
def test_odd_number_of_a_row_is_answered(label, boss):
    site_admin = _ADMINS[label]
    boss.raise_request_exception = False

    failed = [
        value
        for value in ODD
        if boss.get(f"{address(site_admin)}{value}/change/").status_code >= 500
    ]

    assert failed == []
