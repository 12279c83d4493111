"""The admin site with the product's name, its own sign-in, and pages that belong to no model.

Its Russian fits every model: Django's own sentences put a model's name where another case or number is
wanted («Выберите касса», «5 кассы»); the templates of `templates/admin/` say the counts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path, reverse, reverse_lazy
from django.utils.functional import Promise
from django.utils.text import capfirst

from cabinet.audit_words import KINDS
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


_DEEDS = {
    "add": "Может добавлять",
    "change": "Может изменять",
    "delete": "Может удалять",
    "view": "Может смотреть",
}

_MORE_THAN_SAVED = {"_continue", "_addanother", "_saveasnew", IS_POPUP_VAR}


def permission_words(permission: Permission) -> str:
    """«Смарт-карты | Может изменять: команды операторам»; needs `content_type`.

    A right that is not one of Django's four, or whose model is gone, keeps its own name.
    """
    deed, _, _ = permission.codename.partition("_")
    model = permission.content_type.model_class()
    if model is None or deed not in _DEEDS:
        return permission.name
    app = model._meta.app_config.verbose_name
    return f"{app} | {_DEEDS[deed]}: {model._meta.verbose_name_plural}"


class Worded(ModelAdmin):  # type: ignore[type-arg]
    """Stands under the admin of every model (see `register` below), so its own words win."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, title | (extra_context or {}))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        name = capfirst(self.opts.verbose_name)
        title = {"title": name if object_id else f"{name}: новая запись"}
        return super().changeform_view(request, object_id, form_url, title | (extra_context or {}))

    def response_add(
        self, request: HttpRequest, obj: Model, post_url_continue: str | None = None
    ) -> HttpResponse:
        if not _only_saved(request):
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, f"Добавлено: {obj}.", messages.SUCCESS)
        return self.response_post_save_add(request, obj)

    def response_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        if not _only_saved(request):
            return super().response_change(request, obj)
        self.message_user(request, f"Сохранено: {obj}.", messages.SUCCESS)
        return self.response_post_save_change(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        if "delete_selected" in actions:
            run, name = actions["delete_selected"][:2]
            actions["delete_selected"] = (run, name, "Удалить отмеченное")
        return actions

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.related_model is Permission:
            kwargs["form_class"] = RightsField
        return super().formfield_for_manytomany(db_field, request, **kwargs)


def _only_saved(request: HttpRequest) -> bool:
    """«Сохранить», and neither «… и продолжить» nor a window of another form."""
    return not request.POST.keys() & _MORE_THAN_SAVED


class RightsField(ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Rights to choose from, in words."""

    def label_from_instance(self, obj: Any) -> str:
        return permission_words(obj)


def worded(admin_class: type[ModelAdmin[Any]] | None) -> type[ModelAdmin[Any]]:
    """The same admin with `Worded` under it."""
    if admin_class is None or admin_class is ModelAdmin:
        return Worded
    if issubclass(admin_class, Worded):
        return admin_class
    return type(admin_class.__name__, (admin_class, Worded), {"__module__": admin_class.__module__})


class CabinetAdminSite(AdminSite):
    site_header = "Кассовые сервисы"
    site_title = "Кассовые сервисы"
    index_title = "Управление сервисом"
    empty_value_display = "—"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._pages: list[SitePage] = []

    def register(
        self,
        model_or_iterable: Any,
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """As Django's; the admin speaks Russian that fits any model's name."""
        super().register(model_or_iterable, worded(admin_class), **options)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """With the kinds of rows that the journal is about: their pages lead there."""
        return super().each_context(request) | {"journal_kinds": KINDS}

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
