"""What staff see and do. Importing this package registers everything and sets the guarded sign-in form."""

from typing import cast

from django.contrib import admin

from cabinet.admin import (
    audit_log,
    legal,
    mass_actions,
    merchants,
    messages,
    people,
    sessions,
    today,
)
from cabinet.admin.sign_in import StaffSignInForm
from cabinet.admin_site import CabinetAdminSite

admin.site.login_form = StaffSignInForm
cast("CabinetAdminSite", admin.site).today = today.lines

__all__ = [
    "audit_log",
    "legal",
    "mass_actions",
    "merchants",
    "messages",
    "people",
    "sessions",
    "today",
]
