"""Settings of a benchmark or a fault run: the product's own, with fault points and a sandbox without state."""

import os
from typing import Any

from cabinet import settings as product

globals().update({name: value for name, value in vars(product).items() if name.isupper()})

INSTALLED_APPS = [*product.INSTALLED_APPS, "bench.apps.BenchConfig"]
OPERATORS = {**product.OPERATORS, "null": "bench.null_operator.NullOperator"}
SANDBOX_PARTS = ["bench.sandbox_parts.Operators", "bench.sandbox_parts.EmptyMarket"]
DEMO_PARTS: list[str] = []

if os.environ.get("REDELIVER") == "1":
    # Celery delivers a message again while its task still runs, which ours do not.
    _transport: dict[str, Any] = product.CELERY_BROKER_TRANSPORT_OPTIONS
    CELERY_TASK_ACKS_LATE = True
    CELERY_BROKER_TRANSPORT_OPTIONS = {**_transport, "visibility_timeout": 2}
