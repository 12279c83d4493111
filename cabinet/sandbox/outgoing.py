"""How the sandbox calls the product."""

import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests  # noqa: TID251 the sandbox is no part of the product

logger = logging.getLogger(__name__)


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, seconds: float
) -> requests.Response | None:
    """One POST of JSON without redirects; None where nothing came back within `seconds`."""
    with requests.Session() as session:
        session.trust_env = False  # no proxy and no ~/.netrc of this machine
        try:
            return session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json", **headers},
                timeout=seconds,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            logger.info("No answer from %s: %s", urlsplit(url).path, type(error).__name__)
            return None
