"""System checks of the operators: every adapter named in settings can be used."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from operators import registry


@register()
def adapters(**_kwargs: Any) -> list[CheckMessage]:
    """Each dotted path of OPERATORS leads to a class that has what the port asks for."""
    return [
        Error(f"Operator adapter {code!r}: {problem}", id="operators.E001")
        for code in settings.OPERATORS
        if (problem := registry.problem(code))
    ]
