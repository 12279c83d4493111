"""The admin site with the product's name."""

from django.contrib.admin import AdminSite


class CabinetAdminSite(AdminSite):
    site_header = "Кассовые сервисы"
    site_title = "Кассовые сервисы"
    index_title = "Управление сервисом"
    empty_value_display = "—"
