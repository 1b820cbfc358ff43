"""The connection to registries: plain HTTP only to this machine, tokens as they ask for them, cuts told from refusals.

https://distribution.github.io/distribution/spec/auth/token/
"""

import re
import time
from collections.abc import Collection, Mapping
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelyard.engines.oci.address import Address
from modelyard.engines.oci.credentials import Credential, find_credential
from modelyard.engines.oci.refusals import CutError, RegistryError, describe, refuse

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

_TIMES = (10.0, 60.0)  # to connect, and without a byte
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_PARALLEL = 8


class Connection:
    """What one command has open to registries, and the tokens that it was given."""

    def __init__(self, environ: Mapping[str, str], *, insecure: bool = False) -> None:
        """`insecure` allows plain HTTP to any host."""
        self._environ = environ
        self._insecure = insecure
        self._tokens: dict[tuple[str, str], tuple[str, float]] = {}
        self._schemes: dict[str, str] = {}
        self._lock = Lock()

    def base(self, address: Address) -> str:
        """Where a registry answers, with the scheme."""
        with self._lock:
            if address.host not in self._schemes:
                is_plain = (self._insecure or address.is_loopback) and not self._speaks_tls(address)
                self._schemes[address.host] = "http" if is_plain else "https"
        return f"{self._schemes[address.host]}://{address.server}"

    def ask(
        self,
        method: str,
        address: Address,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        writes: bool = False,
        mount: str | None = None,
        allowed: Collection[int] = (),
        stream: bool = False,
    ) -> "Response":
        """One request, with a new token where it has expired.

        Raises CutError for what may be tried again, and RegistryError for a refusal that is not `allowed`.
        """
        scope = f"repository:{address.name}:{'pull,push' if writes else 'pull'}"
        scopes = (scope, f"repository:{mount}:pull") if mount else (scope,)
        token = self._known_token(address.host, scopes)
        given = {**(headers or {}), **({"Authorization": token} if token else {})}
        answer = self._send(method, url, given, body=body, stream=stream)
        if answer.status_code == 401:
            credential = find_credential(address.host, address.name, self._environ)
            given["Authorization"] = self._authorize(address, answer, credential, scopes)
            answer.close()
            answer = self._send(method, url, given, body=body, stream=stream)
        if answer.status_code in _AGAIN:
            raise CutError(f"{answer.status_code} {describe(answer)}".strip())
        if answer.status_code >= 300 and answer.status_code not in allowed:
            raise refuse(address, answer, f"{'push to' if writes else 'pull'} {address}")
        return answer

    def check_login(self, address: Address, credential: Credential) -> None:
        """Raise RegistryError where a registry does not take a credential."""
        try:
            self._try_login(address, credential)
        except RegistryError as error:
            if error.answered != 401:
                raise
            hint = "is the user's name right, and the password? it was not kept"
            raise RegistryError(error.message, hint=hint, status=401) from error

    def _try_login(self, address: Address, credential: Credential) -> None:
        url = f"{self.base(address)}/v2/"
        answer = self._send("GET", url, {})
        if answer.status_code == 401:
            token = self._authorize(address, answer, credential, ())
            answer = self._send("GET", url, {"Authorization": token})
        if answer.status_code != 200:
            raise refuse(address, answer, f"log in to {address.host}")

    def close(self) -> None:
        """Close what is open."""
        if "_session" in vars(self):
            self._session.close()

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], *, body: bytes | None = None, stream: bool = False
    ) -> "Response":
        from requests.exceptions import RequestException, SSLError

        try:
            return self._session.request(
                method, url, headers=headers, data=body, stream=stream, timeout=_TIMES, allow_redirects=True
            )
        except SSLError as error:
            raise RegistryError(
                f"no TLS connection to {urlsplit(url).netloc}: {error}",
                hint="is its certificate in the bundle that SSL_CERT_FILE or REQUESTS_CA_BUNDLE names?",
            ) from error
        except RequestException as error:
            raise CutError(f"no answer from {urlsplit(url).netloc} ({type(error).__name__})") from error

    def _authorize(
        self, address: Address, answer: "Response", credential: Credential | None, scopes: tuple[str, ...]
    ) -> str:
        """The authorization that a registry asks for in a 401."""
        kind, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        values = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if kind.lower() == "basic" and credential is not None:
            return self._keep(address.host, scopes, credential.basic, seconds=3600.0)
        if kind.lower() == "bearer" and values.get("realm"):
            return self._fetch_token(address, values, credential, scopes)
        raise refuse(address, answer, f"open {address}")

    def _fetch_token(
        self, address: Address, challenge: Mapping[str, str], credential: Credential | None, scopes: tuple[str, ...]
    ) -> str:
        realm = challenge["realm"]
        if not (urlsplit(realm).scheme == "https" or self._insecure or address.is_loopback):
            raise RegistryError(
                f"{address.host} has credentials sent to {realm}, which is not encrypted", hint="--insecure allows it"
            )
        fields = {"service": challenge.get("service", ""), "scope": list(scopes)}
        from requests.exceptions import RequestException

        try:
            if credential is not None and credential.is_identity_token:
                form = {"grant_type": "refresh_token", "refresh_token": credential.secret, "client_id": "modelyard"}
                form |= {"service": challenge.get("service", ""), "scope": " ".join(scopes)}
                answer = self._session.post(realm, data=form, timeout=_TIMES, allow_redirects=False)
            else:
                headers = {"Authorization": credential.basic} if credential is not None else {}
                answer = self._session.get(realm, params=fields, headers=headers, timeout=_TIMES)
        except RequestException as error:
            raise CutError(f"no answer from {urlsplit(realm).netloc} ({type(error).__name__})") from error
        if answer.status_code in _AGAIN:
            raise CutError(f"{answer.status_code} from {urlsplit(realm).netloc}")
        if answer.status_code != 200:
            raise refuse(address, answer, f"give a token for {address}")
        try:
            said = answer.json()
            token, seconds = said.get("token") or said.get("access_token"), float(said.get("expires_in") or 60)
        except (ValueError, RecursionError, AttributeError, TypeError):
            token, seconds = None, 0.0
        if not token:
            raise RegistryError(f"{realm} gave no token for {address.host}", hint="is it the registry's token service?")
        return self._keep(address.host, scopes, f"Bearer {token}", seconds=seconds)

    def _keep(self, host: str, scopes: tuple[str, ...], authorization: str, *, seconds: float) -> str:
        with self._lock:
            self._tokens[host, " ".join(scopes)] = (authorization, time.monotonic() + 0.9 * seconds)
        return authorization

    def _known_token(self, host: str, scopes: tuple[str, ...]) -> str | None:
        with self._lock:
            token, until = self._tokens.get((host, " ".join(scopes)), ("", 0.0))
        return token if time.monotonic() < until else None

    def _speaks_tls(self, address: Address) -> bool:
        from requests.exceptions import RequestException

        try:
            self._session.get(f"https://{address.server}/v2/", timeout=_TIMES[0])
        except RequestException:
            return False
        return True

    @cached_property
    def _session(self) -> "Session":
        """Proxies and NO_PROXY are the environment's; what ~/.netrc says of a host is no registry's credential."""
        import requests
        from requests.adapters import HTTPAdapter

        def keep_headers(request: "PreparedRequest") -> "PreparedRequest":
            return request

        session = requests.Session()
        session.auth = keep_headers
        session.headers["User-Agent"] = "modelyard"
        bundles = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        session.verify = next((self._environ[name] for name in bundles if self._environ.get(name)), True)
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=_PARALLEL))
        return session
