"""`--callback-url`: tell a URL how a build ended. It never changes how the build ended."""

import json
import logging
from collections.abc import Mapping, Sequence
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from modelyard.errors import InputError

_LOGGER = logging.getLogger(__name__)
_TIMEOUT = 30


def check_callback(url: str) -> None:
    """Raise InputError for what is no URL to POST to, before anything is built."""
    if url and urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"--callback-url {url!r} is no http(s) URL", hint="for example https://ci.example/hooks/build")


def post_callback(url: str, *, success: bool, messages: Sequence[str], labels: Mapping[str, str]) -> None:
    """POST the outcome as JSON, as upstream does; a URL that does not take it is logged."""
    told = {"payload": "\n".join(messages), "success": success, **({"labels": dict(labels)} if labels else {})}
    body = json.dumps(told).encode()
    request = Request(url, data=body, headers={"Content-Type": "application/json"}, method="POST")
    try:
        with urlopen(request, timeout=_TIMEOUT):
            pass
    except (URLError, OSError) as error:
        _LOGGER.warning("--callback-url %s did not take the outcome: %s", url, error)
