"""After a restore from backup: look first, switch later."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from cabinet import clock
from cabinet.actors import SYSTEM
from smartcards import safety_brake

TEXT = """Режим «только отчёт» включён: сами собой команды операторам не отправляются.

Что сделать:
  1. Откройте {page}: там видно, что сервис включил бы и отключил бы сейчас.
  2. Сверьте список с операторами и с Эвотор: копия не знает того, что было после неё.
  3. Запросите у Эвотор события за потерянное время, дождитесь, пока они обработаются.
  4. Если в списке не осталось лишнего, нажмите там же «Отпустить тормоз» и укажите причину.
"""


class Command(BaseCommand):
    help = "Sets report-only mode after a restore from backup and says what to do."

    def handle(self, *_args: Any, **_options: Any) -> None:
        safety_brake.report_only(by=SYSTEM, at=clock.now())
        page = f"{settings.PUBLIC_URL}/admin/smartcards/brake/1/change/"
        self.stdout.write(TEXT.format(page=page))
