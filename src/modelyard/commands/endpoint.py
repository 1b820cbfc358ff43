"""Send model directories' test instances to a daemon, and read its state."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from typing import Any

from modelyard.errors import EndpointError, InputError
from modelyard.probe.instances import read_instances
from modelyard.workspace import ModelDirectory

REQUEST_TIMEOUT = 60.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one route answered to the test instances of its model; `seconds` is the whole round trip."""

    model: str
    route: str
    status: int
    seconds: float
    body: Any

    def raise_for_status(self) -> None:
        """Raise EndpointError where the status is not 200."""
        if self.status != 200:
            detail = self.body.get("detail", self.body) if isinstance(self.body, dict) else self.body
            raise EndpointError(
                f"{self.model}: POST /{self.route} answered {self.status}: {detail}",
                hint=self._hint,
            )

    @property
    def _hint(self) -> str:
        if self.status == 404:
            return "another daemon may listen there: modelyard ps shows what runs, make predict starts this one"
        if self.status in (400, 422):
            return f"what was sent is projects/{self.model}/test/test_instances.json"
        return "the daemon's log says more: modelyard logs NAME"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a daemon listens.

    >>> str(Endpoint(host="::1", port=5111))
    'http://[::1]:5111'
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def request(
        self, method: str, path: str, body: bytes | None = None, *, timeout: float = REQUEST_TIMEOUT
    ) -> tuple[int, Any]:
        """Send one request; return the status and the answer, decoded where it is JSON.

        Raises ConnectionError, TimeoutError or HTTPException where there is no answer.
        """
        connection = HTTPConnection(choose_loopback(self.host), self.port, timeout=timeout)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            content = response.read()
            if "json" in response.headers.get("Content-Type", ""):
                return response.status, _parse_json(content)
            return response.status, content.decode(errors="replace")
        finally:
            connection.close()


def choose_loopback(host: str) -> str:
    """Where to ask a daemon that listens at `host`: of an address that stands for every one, this machine's own.

    >>> choose_loopback("0.0.0.0"), choose_loopback("0:0:0:0:0:0:0:0"), choose_loopback("10.0.0.7")
    ('127.0.0.1', '::1', '10.0.0.7')
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "::1" if address.version == 6 else "127.0.0.1"


def _parse_json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise HTTPException(f"it answered what is no JSON: {content[:80]!r}") from None


def send_instances(endpoint: Endpoint, models: Iterable[ModelDirectory]) -> Iterator[Answer]:
    """Send every model's test instances to each of its routes, as its file has them.

    Raises InputError for a broken test_instances.json and for a model without a route, EndpointError where nobody
    answers.
    """
    for model in models:
        if not model.served_routes:
            raise InputError(f"{model.environment.source}: no route to test", hint="set ROUTES, or PREDICT_MODULE")
        body = json.dumps(read_instances(model)).encode()
        for route in model.served_routes:
            started = time.perf_counter()
            try:
                status, answer = endpoint.request("POST", f"/{route.name}", body)
            except (OSError, HTTPException) as error:
                raise EndpointError(
                    f"{model.full_name}: no answer from {endpoint}/{route.name}: {error or type(error).__name__}",
                    hint="is it served? make predict starts it, modelyard ps shows what runs",
                ) from None
            seconds = time.perf_counter() - started
            yield Answer(model=model.full_name, route=route.name, status=status, seconds=seconds, body=answer)
