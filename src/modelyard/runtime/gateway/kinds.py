"""What a request is about, which decides who answers it: none of a kind waits for those of another."""

import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from modelyard.runtime.gateway.framing import Head

_END_OF_PATH = re.compile(rb"[?#]")
_KEPT = 512


class Kind(Enum):
    """What a request is about."""

    PROBE = "probe"
    """Whether the daemon or a model is well: answered at once, by the event loop."""
    PAGE = "page"
    METRICS = "metrics"
    STATE = "state"
    MODEL = "model"
    """Whatever may ask a model, or has a body that is worth reading."""


class Kinds:
    """Finds out by its head of which kind a request is."""

    def __init__(self, rules: Map, kinds: Mapping[str, Kind]) -> None:
        """`kinds` has those of the endpoints of `rules` that are asked by GET; the others tell some state."""
        self._paths = rules.bind("localhost")
        self._kinds = kinds
        self._find_of_path = lru_cache(_KEPT)(self._match)

    def find(self, head: Head) -> Kind:
        """The kind of a request."""
        if head.method not in (b"GET", b"HEAD") or not head.target.startswith(b"/"):
            return Kind.MODEL
        kind = self._find_of_path(_END_OF_PATH.split(head.target, 1)[0])
        return Kind.STATE if kind is Kind.PROBE and (head.length or head.is_chunked) else kind

    def _match(self, path: bytes) -> Kind:
        try:
            endpoint, _ = self._paths.match(unquote_to_bytes(path).decode(errors="replace"), method="GET")
        except HTTPException:
            return Kind.STATE
        return self._kinds.get(endpoint, Kind.STATE)
