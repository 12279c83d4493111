"""Russian labels of the codes stored in the audit log and of periodic tasks, those of all apps."""

from functools import cache

from django.apps import apps
from django.utils.text import capfirst

ACTION_LABELS: dict[str, str] = {
    "account.added": "договор добавлен",
    "account.breaker_closed": "предохранитель закрыт",
    "account.pause_lifted": "снята пауза оператора",
    "account.alerts_silenced": "оповещения приостановлены",
    "account.changed": "договор изменён",
    "activation_requested": "запрошено включение",
    "asked_again": "попросили уточнить состояние",
    "billing_day": "перенесён день оплаты",
    "block_lifted": "оператор снял блокировку",
    "cards": "изменилось оплаченное число карт",
    "change": "в маркет: смена тарифа или числа карт",
    "code.accepted": "введён верный код",
    "code.refused": "введён неверный код",
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
    "email.confirmed": "подтверждена эл. почта",
    "edited": "изменено сотрудником",
    "engaged": "сработал тормоз",
    "event_accepted": "событие с ключом клиента принято",
    "gap_accepted": "применено без пропущенных событий",
    "gift": "подарены дни",
    "handed_over": "карта передана клиенту",
    "hold_prolonged": "отключения удержаны ещё на час",
    "hold_released": "удержание отключений отменено",
    "install": "в маркет: установка",
    "installed": "модуль установлен",
    "mass.cancelled": "массовое действие отменено",
    "mass.confirmed": "массовое действие подтверждено",
    "mass.finished": "массовое действие закончено",
    "member.added": "добавлен сотрудник клиента",
    "member.changed": "изменён сотрудник клиента",
    "member.removed": "убран сотрудник клиента",
    "member.role_changed": "изменена роль сотрудника клиента",
    "merchant.alerts_silenced": "дела о клиенте отложены",
    "merchant.changed": "изменён клиент",
    "messages.chosen": "выбраны сообщения",
    "number_accepted": "принят номер оператора",
    "number_written": "записан номер карты",
    "order_cancelled": "заказ отменён",
    "order_delivered": "заказ доставлен",
    "order_packed": "заказ собран",
    "order_paid": "заказ оплачен",
    "order_paper_issued": "выставлен документ",
    "order_placed": "заказ оформлен",
    "order_shipped": "заказ отправлен",
    "order_terms_changed": "изменены условия заказа",
    "order_unpacked": "заказ разобран",
    "order_unpaid": "отметка об оплате снята",
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
    "second_factor.new_codes": "выданы запасные коды",
    "second_factor.removed": "второй фактор отключён",
    "second_factor.reset": "второй фактор сброшен",
    "second_factor.set_up": "второй фактор включён",
    "second_factor.wrong": "неверный код второго фактора",
    "seller_changed": "изменены реквизиты продавца",
    "session.ended": "завершён сеанс",
    "sessions.ended": "завершены все сеансы",
    "settled_by_staff": "исход записан сотрудником",
    "staff.sign_in_tried": "попытка входа сотрудника",
    "staff.signed_in": "вход сотрудника",
    "step_up.allowed": "выдан код поддержки",
    "step_up.confirmed": "личность подтверждена кодом",
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


# Models that events are about, for the filter: SELECT DISTINCT would read the whole audit log.
TARGET_MODELS = (
    "brake",
    "consent",
    "delivery",
    "legaldocument",
    "marketrequest",
    "massoperation",
    "member",
    "merchant",
    "module",
    "operatoraccount",
    "order",
    "orderterms",
    "seller",
    "smartcard",
    "subscription",
    "tariff",
    "user",
)


# Periodic tasks, by the names of their heartbeats.
PERIODIC_TASK_LABELS: dict[str, str] = {
    "cabinet.sweep": "Уборка: старые коды входа, сообщения и сеансы",
    "evotor.gaps": "Эвотор: пропуски в событиях",
    "evotor.sweep": "Эвотор: обработка входящих",
    "smartcards.notify": "Сообщения: что отключилось, заработало, не удалось",
    "smartcards.reconcile_all": "Сверка: что должно работать и что работает",
    "smartcards.reconcile_just_ended": "Сверка: у кого закончилась оплата",
    "smartcards.sweep": "Команды операторам: отправка и вопросы",
    "subscriptions.sweep": "Подписки: о чём молчит Эвотор",
}


def periodic_task_label(name: str) -> str:
    """What a periodic task does; an unknown name is returned as it is."""
    return PERIODIC_TASK_LABELS.get(name, name)


def action_label(code: str) -> str:
    """«запрошено включение»; an unknown code is returned as it is."""
    return ACTION_LABELS.get(code, code)


def target_label(target: str) -> str:
    """The verbose name of the model that an event is about; an unknown one is returned as it is."""
    return _kinds().get(target, target)


@cache
def _kinds() -> dict[str, str]:
    return {
        str(model._meta.model_name): capfirst(str(model._meta.verbose_name))
        for model in apps.get_models()
    }
