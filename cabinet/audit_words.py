"""Russian for the words that journal and pulse are kept in. Codes of other apps stand here as strings."""

from functools import cache

from django.apps import apps
from django.utils.text import capfirst

ACTIONS: dict[str, str] = {
    "account.added": "договор добавлен",
    "account.breaker_closed": "предохранитель закрыт",
    "account.changed": "договор изменён",
    "account.subscribed": "подписка на уведомления оператора",
    "account.unsubscribed": "снята подписка на уведомления",
    "activation_requested": "запрошено включение",
    "asked_again": "попросили уточнить состояние",
    "billing_day": "перенесён день оплаты",
    "block_lifted": "оператор снял блокировку",
    "cards": "изменилось оплаченное число карт",
    "change": "в маркет: смена тарифа или числа карт",
    "command_cancelled": "команда отменена",
    "command_failed": "команда не выполнена",
    "company.changed": "изменены реквизиты",
    "confirmed": "состояние у оператора",
    "consent.given": "согласие дано",
    "consent.withdrawn": "согласие отозвано",
    "covered": "карта выбрана для оплаты",
    "created": "создано",
    "deactivation_requested": "запрошено отключение",
    "described": "изменены подпись и место",
    "document.drafted": "черновик документа",
    "document.published": "документ опубликован",
    "edited": "изменено сотрудником",
    "engaged": "сработал тормоз",
    "gap_accepted": "применено без пропущенных событий",
    "gift": "подарены дни",
    "handed_over": "карта передана клиенту",
    "install": "в маркет: установка",
    "installed": "модуль установлен",
    "member.added": "добавлен сотрудник клиента",
    "member.changed": "изменён сотрудник клиента",
    "member.removed": "убран сотрудник клиента",
    "member.role_changed": "изменена роль сотрудника клиента",
    "merchant.changed": "изменён клиент",
    "number_accepted": "принят номер оператора",
    "number_written": "записан номер карты",
    "order_cancelled": "заказ отменён",
    "order_delivered": "заказ доставлен",
    "order_packed": "заказ собран",
    "order_placed": "заказ оформлен",
    "order_shipped": "заказ отправлен",
    "order_unpacked": "заказ разобран",
    "owner.entered": "вход владельца из Эвотор",
    "paid": "подписка оплачена",
    "person.added": "добавлен человек",
    "person.changed": "изменён человек",
    "plan": "тариф подписки",
    "profile.changed": "изменён профиль",
    "registered": "компания зарегистрирована",
    "released": "тормоз отпущен",
    "remove": "в маркет: удаление",
    "removed": "модуль удалён",
    "renew": "в маркет: продление",
    "replaced": "карта заменена",
    "replaces": "карта заменяет другую",
    "replayed": "входящее обработано ещё раз",
    "report_only": "режим «только отчёт»",
    "resume": "в маркет: возобновление",
    "revived": "подписка возобновлена",
    "sessions.ended": "завершены все сеансы",
    "settled_by_staff": "исход записан сотрудником",
    "staff.sign_in_tried": "попытка входа сотрудника",
    "staff.signed_in": "вход сотрудника",
    "stock_imported": "загрузка на склад",
    "stop": "в маркет: остановка",
    "stop_cancelled": "остановка отменена",
    "stop_requested": "запрошена остановка",
    "stopped_by_staff": "подписка прекращена сотрудником",
    "taken_back": "карта нашлась",
    "tap_closed": "стоп-кран закрыт",
    "tap_opened": "стоп-кран открыт",
    "terminated": "подписка прекращена",
    "trial": "пробный период",
    "uncovered": "карта больше не оплачивается",
    "withdrawn": "карта выведена из работы",
    "written_off": "карта списана",
}


# Models that lines are about, for the filter: asking the journal itself would read all of it.
KINDS = (
    "brake",
    "consent",
    "delivery",
    "legaldocument",
    "marketrequest",
    "member",
    "merchant",
    "module",
    "operatoraccount",
    "order",
    "smartcard",
    "subscription",
    "tariff",
    "user",
)


# Regular works, as «Пульс» names them.
WORKS: dict[str, str] = {
    "cabinet.sweep": "Уборка: старые коды входа",
    "evotor.gaps": "Эвотор: пропуски в событиях",
    "evotor.sweep": "Эвотор: обработка входящих",
    "smartcards.reconcile_all": "Сверка: что должно работать и что работает",
    "smartcards.sweep": "Команды операторам: отправка и вопросы",
    "subscriptions.sweep": "Подписки: о чём молчит Эвотор",
}


def work_word(name: str) -> str:
    """What a regular work does; one of an older version as it is."""
    return WORKS.get(name, name)


def action_word(code: str) -> str:
    """«запрошено включение»; a code of an older version as it is."""
    return ACTIONS.get(code, code)


def kind_word(target: str) -> str:
    """What the line is about, by the name of its model; one that is gone as it is."""
    return _kinds().get(target, target)


@cache
def _kinds() -> dict[str, str]:
    return {
        str(model._meta.model_name): capfirst(str(model._meta.verbose_name))
        for model in apps.get_models()
    }
