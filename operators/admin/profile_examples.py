"""Whole descriptions that staff begin a new one with, by what is special in the operator's API."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[1] / "declarative" / "examples"
# What the operator's manual says, and the file.
TITLES: Mapping[str, str] = {
    "1nce-like": "Ответ сразу называет новое состояние (как у\u00a01NCE)",
    "telnyx-like": "Ответ даёт номер запроса, об исходе спрашивают (как у\u00a0Telnyx)",
    "super-sim-like": "Форма вместо JSON, переключает позже без номера запроса (как у\u00a0Super SIM)",
    "emnify-like": "Вход выдаёт ключ, у\u00a0карты свой номер, состояние числом (как у\u00a0emnify)",
    "tmf640": "Партнёр по TMF640",
}


def example(name: str) -> dict[str, Any] | None:
    """The description of this name; None for any other."""
    if name not in TITLES:
        return None
    found: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found
