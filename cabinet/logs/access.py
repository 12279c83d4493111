"""The access log of gunicorn: `--logger-class cabinet.logs.access.AccessLogger`."""

from typing import Any

from gunicorn.glogging import Logger

from cabinet.logs.lines import escaped


class AccessLogger(Logger):  # type: ignore[misc]
    """Gunicorn's logger with every text on one line: addresses are decoded and may hold anything."""

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        """What the format of the access log is filled with; every text on one line."""
        given: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        return {
            name: escaped(value) if isinstance(value, str) else value
            for name, value in given.items()
        }
