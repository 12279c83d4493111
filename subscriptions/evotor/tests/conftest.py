"""What a process keeps between requests is forgotten between tests."""

import pytest


@pytest.fixture(autouse=True)
def _nothing_kept():
    """No counted requests of a merchant, and no secrets of modules of an earlier test."""
    # Only now: this file is read before Django is set up.
    from django.core.cache import cache  # noqa: PLC0415

    from subscriptions.evotor import webhooks  # noqa: PLC0415

    cache.clear()
    webhooks._module_secrets.cache_clear()
