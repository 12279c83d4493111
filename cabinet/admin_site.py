"""The admin site with the product's name, its own sign-in, and pages that belong to no model.

Django's Russian texts put a model's name into the wrong case or number («Выберите касса», «5 кассы»): the
classes here and the templates of `templates/admin/` replace them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import Permission
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.views.decorators.cache import never_cache

from cabinet.accounts.services import sessions
from cabinet.formatting.audit_labels import TARGET_MODELS
from cabinet.formatting.phone_numbers import e164
from cabinet.formatting.ru_format import grouped
from cabinet.models import User

Route = URLPattern | URLResolver
View = Callable[..., HttpResponse]


@dataclass(frozen=True)
class SitePage:
    """A page among the models of an app: its address under /admin/, its name, who may see it."""

    route: str
    name: str
    title: str
    permission: str
    view: View
    listed: bool = True


def site_page(
    route: str, *, name: str, title: str, permission: str, listed: bool = True
) -> Callable[[View], View]:
    """Decorator of a page that belongs to no model; 403 without the permission, «app.codename».

    Its link is shown among the models of that app, unless it is not `listed`.
    """

    def register(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not cast("User", request.user).has_perm(permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        page = SitePage(route, name, title, permission, guarded, listed)
        cast("CabinetAdminSite", admin.site).pages.append(page)
        return guarded

    return register


_PERMISSION_LABELS = {
    "add": "Может добавлять",
    "change": "Может изменять",
    "delete": "Может удалять",
    "view": "Может смотреть",
}

# Each is a field of a form, of which Django accepts a thousand.
MOST_DELETED = 900
_MORE_THAN_SAVED = {"_continue", "_addanother", "_saveasnew", IS_POPUP_VAR}


def permission_label(permission: Permission) -> str:
    """«Смарт-карты | Может изменять: команды операторам»; needs `content_type`.

    A permission that is not one of Django's four, or whose model is gone, keeps its own name.
    """
    action, _, _ = permission.codename.partition("_")
    model = permission.content_type.model_class()
    if model is None or action not in _PERMISSION_LABELS:
        return permission.name
    app = model._meta.app_config.verbose_name
    return f"{app} | {_PERMISSION_LABELS[action]}: {model._meta.verbose_name_plural}"


class RussianModelAdmin(ModelAdmin):  # type: ignore[type-arg]
    """Base under the admin class of every model (see `register`): Russian titles and messages."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The title is the plural alone: «Выберите …» would need another case.

        A filter that no row can answer to is told as Django tells others; of the selected rows only
        numbers that a row can have are kept.
        """
        if any("\0" in text for name, texts in request.GET.lists() for text in (name, *texts)):
            return redirect(f"{request.path}?{ERROR_FLAG}=1")
        if ACTION_CHECKBOX_NAME in request.POST:
            posted = request.POST.copy()
            chosen = [one for one in posted.getlist(ACTION_CHECKBOX_NAME) if self._may_be_pk(one)]
            posted.setlist(ACTION_CHECKBOX_NAME, chosen)
            request.POST = posted  # type: ignore[assignment]
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, title | (extra_context or {}))

    def _may_be_pk(self, text: str) -> bool:
        try:
            self.opts.pk.clean(text, None)
        except ValidationError:
            return False
        return "\0" not in text

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """The title is the model's name, with «новая запись» for a new row."""
        name = capfirst(self.opts.verbose_name)
        title = {"title": name if object_id else f"{name}: новая запись"}
        return super().changeform_view(request, object_id, form_url, title | (extra_context or {}))

    def response_add(
        self, request: HttpRequest, obj: Model, post_url_continue: str | None = None
    ) -> HttpResponse:
        """«Добавлено: …» fits a name of any gender."""
        if not _only_saved(request):
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, f"Добавлено: {obj}.", messages.SUCCESS)
        return self.response_post_save_add(request, obj)

    def response_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        """«Сохранено: …» fits a name of any gender."""
        if not _only_saved(request):
            return super().response_change(request, obj)
        self.message_user(request, f"Сохранено: {obj}.", messages.SUCCESS)
        return self.response_post_save_change(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """«Удалить отмеченное» instead of a title with the model's name in a wrong case."""
        actions: dict[str, Any] = super().get_actions(request)
        if "delete_selected" in actions:
            name = actions["delete_selected"][1]
            actions["delete_selected"] = (_delete_a_few, name, "Удалить отмеченное")
        return actions

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """A phone is found in whatever spelling it is typed."""
        rows, twice = super().get_search_results(request, queryset, search_term)
        phone = e164(search_term)
        if phone and any("phone" in name for name in self.get_search_fields(request)):
            rows |= super().get_search_results(request, queryset, phone)[0]
        return rows, twice

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Permissions are chosen by their Russian labels."""
        if db_field.related_model is Permission:
            kwargs["form_class"] = PermissionsField
        return super().formfield_for_manytomany(db_field, request, **kwargs)


def _delete_a_few(
    model_admin: "RussianModelAdmin", request: HttpRequest, rows: QuerySet[Any]
) -> HttpResponse | None:
    """Django's, which names each row on a page and posts it back: not for more than a page can carry."""
    number = rows.count()
    if number <= MOST_DELETED:
        return delete_selected(model_admin, request, rows)
    text = f"Найдено: {grouped(number)}. За один раз удаляется не больше {MOST_DELETED}: сузьте список."
    model_admin.message_user(request, text, messages.ERROR)
    return None


def _only_saved(request: HttpRequest) -> bool:
    """Whether «Сохранить» was pressed, not «… и продолжить», and not in a popup of another form."""
    return not request.POST.keys() & _MORE_THAN_SAVED


class PermissionsField(ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Permissions to choose from, with Russian labels."""

    def label_from_instance(self, obj: Any) -> str:
        return permission_label(obj)


def with_russian_texts(admin_class: type[ModelAdmin[Any]] | None) -> type[ModelAdmin[Any]]:
    """The same admin class with `RussianModelAdmin` as its last base."""
    if admin_class is None or admin_class is ModelAdmin:
        return RussianModelAdmin
    if issubclass(admin_class, RussianModelAdmin):
        return admin_class
    return type(
        admin_class.__name__,
        (admin_class, RussianModelAdmin),
        {"__module__": admin_class.__module__},
    )


class CabinetAdminSite(AdminSite):
    """Django's admin site with Russian texts and with pages that belong to no model."""

    site_header = "Кассовые сервисы"
    site_title = "Кассовые сервисы"
    index_title = "Сегодня"
    empty_value_display = "—"
    # Lists need the width of the page; the first page has the same links.
    enable_nav_sidebar = False

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.pages: list[SitePage] = []
        # What the first page shows above the links; `cabinet.admin` sets it.
        self.today: Callable[[HttpRequest], Sequence[Any]] = lambda _request: ()

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """«Сегодня»: what waits for this member of staff, then the links to everything, folded."""
        return super().index(request, {"today": self.today(request)} | (extra_context or {}))

    def register(
        self,
        model_or_iterable: Any,
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """As Django's, with `RussianModelAdmin` under the class."""
        super().register(model_or_iterable, with_russian_texts(admin_class), **options)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Adds the models that the audit log is about: their pages link to it."""
        return super().each_context(request) | {"journal_kinds": TARGET_MODELS}

    def has_permission(self, request: HttpRequest) -> bool:
        """Staff by a session of staff, after the second factor where they have one or need one."""
        return super().has_permission(request) and sessions.is_of_staff(request.session)

    @method_decorator(never_cache)
    @login_not_required
    def login(  # type: ignore[override]  # Django's own returns such a response too
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Django's; whoever has given the password and not yet the second factor is asked for it."""
        if super().has_permission(request) and sessions.is_factor_missing(request.session):
            wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
            return redirect_to_login(wanted, reverse("second_factor_ask"))
        return super().login(request, extra_context)

    def get_urls(self) -> list[Any]:
        """Django's, after the pages that belong to no model."""
        pages = [
            path(page.route, self.admin_view(page.view), name=page.name) for page in self.pages
        ]
        routes: list[Route] = [*pages, *super().get_urls()]
        _redirect_unknown_to_login(reverse_lazy("admin:login", current_app=self.name), routes)
        return routes

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Django's, with the links of these pages."""
        apps = super().get_app_list(request, app_label)
        for app in apps:
            shown = [self._link(page) for page in self.pages if _is_shown(page, app, request)]
            app["models"] = sorted([*app["models"], *shown], key=lambda row: row["name"].lower())
        return apps

    def _link(self, page: SitePage) -> dict[str, Any]:
        """One entry of Django's list of models; without «add»."""
        return {
            "name": page.title,
            "object_name": page.name,
            "perms": {"view": True},
            "admin_url": reverse(f"admin:{page.name}", current_app=self.name),
            "add_url": None,
            "view_only": True,
        }


def _is_shown(page: SitePage, app: dict[str, Any], request: HttpRequest) -> bool:
    user, app_label = cast("User", request.user), page.permission.partition(".")[0]
    return page.listed and app_label == app["app_label"] and user.has_perm(page.permission)


def _redirect_unknown_to_login(login: Promise, routes: Iterable[Route]) -> None:
    """Whoever is not signed in is sent to the sign-in page of staff, not to the merchants'.

    Django marks the site's own views so, and forgets those of the models.
    """
    for route in routes:
        if isinstance(route, URLResolver):
            _redirect_unknown_to_login(login, route.url_patterns)
        elif getattr(route.callback, "login_required", True):
            route.callback.login_url = login  # type: ignore[attr-defined]
