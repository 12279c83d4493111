"""What staff see and do. Importing this package registers everything and sets the guarded sign-in form."""

from django.contrib import admin

from cabinet.admin import journal, legal, merchants, people
from cabinet.admin.sign_in import StaffSignInForm

admin.site.login_form = StaffSignInForm

__all__ = ["journal", "legal", "merchants", "people"]
