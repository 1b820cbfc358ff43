"""Asks for a bearer token (RFC 6750) where the operator has set one."""

import logging
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from modelyard.runtime.daemon.tokens import (
    ADMIN,
    EVERY_ROUTE,
    Tokens,
    keep_tokens,
    load_kept_tokens,
    load_tokens,
    take_stamp,
)
from modelyard.runtime.errors import InputError
from modelyard.runtime.gateway.problems import Problem

log = logging.getLogger(__name__)

_LOOK_EVERY = 1.0
_STAY = "the tokens that were read before stay in force: %s"


class Guard:
    """Checks requests against the tokens at `place`, and reads them again within a second of a change."""

    def __init__(self, place: Path | None, routes: Collection[str], run_dir: Path) -> None:
        """`run_dir` keeps what was read last, which another gateway process may have done."""
        self._place = place
        self._run_dir = run_dir
        self._routes = routes
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._stamp = take_stamp(place) if place else ()
        self._tokens = self._load_first(place) if place else Tokens()

    def is_open(self, route: str) -> bool:
        """Tell whether a route answers everybody."""
        return self._place is None or self._current().is_open(route, EVERY_ROUTE)

    @property
    def has_admin(self) -> bool:
        """Tell whether there is a token of `admin`."""
        return self._place is not None and not self._current().is_open(ADMIN)

    def check(self, route: str, authorization: str | None) -> None:
        """Raise Problem, 401 or 403, where the Authorization header does not open `route`."""
        if self._place is not None:
            _check(self._current(), authorization, route, EVERY_ROUTE)

    def check_admin(self, authorization: str | None) -> None:
        """Raise Problem, 401 or 403, where the Authorization header does not open the admin endpoints.

        With no token for them they are closed: nobody could have meant them to be open to the world.
        """
        if not self.has_admin:
            raise Problem(403, "the admin endpoints are closed: MODELYARD_TOKENS has no token for `admin`")
        _check(self._current(), authorization, ADMIN)

    def _load_first(self, place: Path) -> Tokens:
        """Read the tokens; where they are broken, those that were read before."""
        try:
            return load_tokens(place, self._routes)
        except InputError as error:
            with suppress(OSError):
                tokens = load_kept_tokens(self._run_dir)
                log.error(_STAY, error)
                return tokens
            raise

    def _current(self) -> Tokens:
        now = time.monotonic()
        if now - self._looked > _LOOK_EVERY and self._lock.acquire(blocking=False):
            try:
                self._looked = now
                self._read_again()
            finally:
                self._lock.release()
        return self._tokens

    def _read_again(self) -> None:
        """Read the tokens where their files changed; broken ones leave those that were read before in force."""
        assert self._place is not None
        stamp = take_stamp(self._place)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tokens = load_tokens(self._place, self._routes)
            log.info("read the tokens again")
        except InputError as error:
            log.error(_STAY, error)
            return
        with suppress(OSError):  # a full disk closes no route
            keep_tokens(self._tokens, self._run_dir)


def _check(tokens: Tokens, authorization: str | None, *names: str) -> None:
    if tokens.is_open(*names):
        return
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _refuse(401, "a token is needed: send Authorization: Bearer <token>", "")
    if tokens.accept(token, *names):
        return
    if tokens.know(token):
        raise _refuse(403, "this token opens something else", ', error="insufficient_scope"')
    raise _refuse(401, "nobody has this token", ', error="invalid_token"')


def _refuse(status: int, detail: str, error: str) -> Problem:
    return Problem(status, detail, headers={"WWW-Authenticate": f'Bearer realm="modelyard"{error}'})
