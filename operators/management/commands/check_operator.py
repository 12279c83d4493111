"""Tries an operator's stand against the contract and prints what passes."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from operators import conformance, quota, registry
from operators.conformance import Line, Plan, Verdict
from operators.models import OperatorAccount
from operators.ports import Sim

# A longer pause that the operator asked for is not waited for at the screen, seconds.
_LONGEST_PAUSE = 120.0
_MARKS = {Verdict.PASSED: "✓", Verdict.FAILED: "✗", Verdict.SKIPPED: "–"}


class Command(BaseCommand):
    """`manage.py check_operator <account> --iccid …`; exit code 1 where a line does not pass."""

    help = "Проверяет стенд оператора по договору и печатает, что проходит."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
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
        account = _account(options["account"])
        _ask_for_the_counter(account)
        plan = Plan(
            sim=Sim(options["iccid"], options["msisdn"]),
            allow_switch=options["allow_switch"],
            deadline=options["deadline"] or account.deadline_seconds,
            callback_wait=options["callback_wait"],
        )
        self.stdout.write(f"{account}, {account.base_url}, смарт-карта …{plan.sim.iccid[-4:]}")
        lines = [self._print(line) for line in conformance.walk(account, plan)]
        counts = {verdict: sum(line.verdict is verdict for line in lines) for verdict in Verdict}
        summary = ", ".join(f"{verdict} — {counts[verdict]}" for verdict in Verdict)
        self.stdout.write(f"Итог: {summary}.")
        if counts[Verdict.FAILED]:
            raise CommandError("Стенд проходит договор не полностью.")

    def _print(self, line: Line) -> Line:
        note = f" ({line.note})" if line.note else ""
        self.stdout.write(f"  {_MARKS[line.verdict]} {line.title}: {line.verdict}{note}")
        self.stdout.flush()
        return line


def _account(code: str) -> OperatorAccount:
    account = OperatorAccount.objects.filter(code=code).first()
    if account is None:
        known = ", ".join(OperatorAccount.objects.order_by("code").values_list("code", flat=True))
        raise CommandError(f"Договора «{code}» нет. Есть: {known or 'ни одного'}.")
    if account.adapter not in registry.codes():
        raise CommandError(f"Протокол «{account.adapter}» не включён в настройках.")
    return account


def _ask_for_the_counter(account: OperatorAccount) -> None:
    """Without it no call may leave, and every line would wait long to say so."""
    try:
        wait = quota.pause_left(account)
    except quota.QuotaAway as error:
        raise CommandError(
            "Счётчик вызовов (Redis) не отвечает, проверить стенд нельзя."
        ) from error
    if wait > _LONGEST_PAUSE:
        raise CommandError(f"Оператор попросил не звонить ему ещё {wait / 60:.0f} мин.")
