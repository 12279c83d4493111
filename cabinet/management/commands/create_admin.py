"""Creates the first superuser with a random password."""

import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from cabinet.models import User

USERNAME = "admin"


class Command(BaseCommand):
    help = "Makes the superuser «admin» where there is none; the password lies in LOCAL_DIR/admin-password."

    def handle(self, *_args: Any, **_options: Any) -> None:
        file = Path(settings.LOCAL_DIR) / "admin-password"
        user = User.objects.filter(username=USERNAME).first()
        if user is None:
            User.objects.create_superuser(USERNAME, _password(file))
        elif not (file.exists() and user.check_password(file.read_text(encoding="ascii").strip())):
            self.stdout.write(
                "Сотрудник «admin» уже есть, пароль ему меняет: manage.py changepassword admin"
            )
            return
        self.stdout.write(f"Вход для сотрудников: {settings.PUBLIC_URL}/admin/")
        self.stdout.write(f"  Имя {USERNAME}, пароль {_password(file)} (файл {file})")


def _password(file: Path) -> str:
    """What lies in the file; where there is none a new one, readable by its owner alone."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600, exist_ok=False)
        file.write_text(secrets.token_urlsafe(18), encoding="ascii")
    return file.read_text(encoding="ascii").strip()
