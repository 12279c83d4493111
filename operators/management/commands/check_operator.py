"""Tries an operator's stand against the contract and prints what passes."""

import argparse
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from operators import registry
from operators.conformance import checks
from operators.conformance.report import Plan, PointOutcome, PointReport
from operators.limits import quota
from operators.models import OperatorAccount
from operators.ports import Sim

# A longer pause that the operator asked for is not waited for at the screen, seconds.
_LONGEST_PAUSE = 120.0
_MARKS = {PointOutcome.PASSED: "✓", PointOutcome.FAILED: "✗", PointOutcome.SKIPPED: "–"}


class Command(BaseCommand):
    """`manage.py check_operator <account> --iccid …`; exit code 1 where a report does not pass, and
    where nothing was switched though it was allowed."""

    help = "Проверяет стенд оператора по договору и печатает, что проходит."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The contract, the card of the stand, and what is allowed."""
        parser.add_argument("account", help="код договора с оператором")
        parser.add_argument("--iccid", required=True, help="смарт-карта стенда")
        parser.add_argument("--msisdn", default="", help="её номер, если протокол ищет по номеру")
        parser.add_argument(
            "--allow-switch",
            action="store_true",
            help="переключить смарт-карту и вернуть обратно; только смарт-карту стенда",
        )
        parser.add_argument(
            "--deadline", type=float, help="сколько ждать одного переключения, с (как в договоре)"
        )
        parser.add_argument(
            "--callback-wait", type=float, default=0, help="сколько ждать уведомления, с"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the check and print each result at once. Raises CommandError where one does not pass."""
        account = _account(options["account"])
        _ask_for_the_counter(account)
        plan = Plan(
            sim=Sim(options["iccid"], options["msisdn"]),
            allow_switch=options["allow_switch"],
            deadline=options["deadline"] or account.deadline_seconds,
            callback_wait=options["callback_wait"],
        )
        self.stdout.write(f"{account}, {account.base_url}, смарт-карта …{plan.sim.iccid[-4:]}")
        reports = list(map(self._print, checks.run_checks(account, plan)))
        counts = Counter(report.outcome for report in reports)
        summary = ", ".join(f"{outcome} — {counts[outcome]}" for outcome in PointOutcome)
        self.stdout.write(f"Итог: {summary}.")
        if counts[PointOutcome.FAILED]:
            raise CommandError("Стенд проходит договор не полностью.")
        if plan.allow_switch and not any(_is_switched(report) for report in reports):
            raise CommandError("Переключение разрешено, но ни одного не было: причина в таблице.")

    def _print(self, report: PointReport) -> PointReport:
        note = f" ({report.note})" if report.note else ""
        self.stdout.write(f"  {_MARKS[report.outcome]} {report.title}: {report.outcome}{note}")
        self.stdout.flush()
        return report


def _is_switched(report: PointReport) -> bool:
    return report.title in checks.SWITCHES and report.outcome is PointOutcome.PASSED


def _account(code: str) -> OperatorAccount:
    account = OperatorAccount.objects.filter(code=code).first()
    if account is None:
        known = ", ".join(OperatorAccount.objects.order_by("code").values_list("code", flat=True))
        raise CommandError(f"Договора «{code}» нет. Есть: {known or 'ни одного'}.")
    if account.adapter not in registry.codes():
        raise CommandError(f"Протокол «{account.adapter}» не включён в настройках.")
    return account


def _ask_for_the_counter(account: OperatorAccount) -> None:
    """Without it no call may leave, and every report would wait long to say so."""
    try:
        wait = quota.pause_left(account)
    except quota.QuotaAway as error:
        raise CommandError(
            "Счётчик вызовов (Redis) не отвечает, проверить стенд нельзя."
        ) from error
    if wait > _LONGEST_PAUSE:
        raise CommandError(f"Оператор попросил не звонить ему ещё {wait / 60:.0f} мин.")
