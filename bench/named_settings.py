"""Settings under which Celery delivers a message again while its task still runs: worse than ours."""

from typing import Any

from cabinet import settings as usual

globals().update({name: value for name, value in vars(usual).items() if name.isupper()})

_transport: dict[str, Any] = usual.CELERY_BROKER_TRANSPORT_OPTIONS
CELERY_TASK_ACKS_LATE = True
CELERY_BROKER_TRANSPORT_OPTIONS = {**_transport, "visibility_timeout": 2}
