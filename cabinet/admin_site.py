"""The admin site with the product's name, its own sign-in, and pages that belong to no model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path, reverse, reverse_lazy
from django.utils.functional import Promise

from cabinet.models import User

Route = URLPattern | URLResolver


@dataclass(frozen=True)
class SitePage:
    """A page among the models of an app: its address under /admin/, its name, who sees its link.

    `view` checks the right itself; `permission` only decides whether the link is shown.
    """

    route: str
    name: str
    title: str
    app_label: str
    permission: str
    view: Callable[..., HttpResponse]
    listed: bool = True


class CabinetAdminSite(AdminSite):
    site_header = "Кассовые сервисы"
    site_title = "Кассовые сервисы"
    index_title = "Управление сервисом"
    empty_value_display = "—"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._pages: list[SitePage] = []

    def add_page(self, page: SitePage) -> None:
        """From now on the site has this page; to be called while admin modules are imported."""
        self._pages.append(page)

    def get_urls(self) -> list[Any]:
        pages = [
            path(page.route, self.admin_view(page.view), name=page.name) for page in self._pages
        ]
        routes: list[Route] = [*pages, *super().get_urls()]
        _send_strangers_to(reverse_lazy("admin:login", current_app=self.name), routes)
        return routes

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps = super().get_app_list(request, app_label)
        for app in apps:
            shown = [self._link(page) for page in self._pages if _is_shown(page, app, request)]
            app["models"] = sorted([*app["models"], *shown], key=lambda row: row["name"].lower())
        return apps

    def _link(self, page: SitePage) -> dict[str, Any]:
        """What Django's list of models expects of one line; without «add»."""
        return {
            "name": page.title,
            "object_name": page.name,
            "perms": {"view": True},
            "admin_url": reverse(f"admin:{page.name}", current_app=self.name),
            "add_url": None,
            "view_only": True,
        }


def _is_shown(page: SitePage, app: dict[str, Any], request: HttpRequest) -> bool:
    user = cast("User", request.user)
    return page.listed and page.app_label == app["app_label"] and user.has_perm(page.permission)


def _send_strangers_to(login: Promise, routes: Iterable[Route]) -> None:
    """Whoever is not signed in is sent to the staff's own door, not to the merchants'.

    Django marks the site's own views so, and forgets those of the models.
    """
    for route in routes:
        if isinstance(route, URLResolver):
            _send_strangers_to(login, route.url_patterns)
        elif getattr(route.callback, "login_required", True):
            route.callback.login_url = login  # type: ignore[attr-defined]
