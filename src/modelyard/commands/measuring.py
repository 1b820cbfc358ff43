"""Ask a daemon that runs how long its models took to load and what it holds, for manifests that need not guess."""

from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from modelyard.commands.endpoint import Endpoint
from modelyard.commands.manifests import measured_path
from modelyard.commands.subject import Subject, models_of
from modelyard.errors import EndpointError, InputError
from modelyard.manifests.measured import Measured, measure, write_measured


def measure_daemon(subject: Subject, url: str) -> Measured:
    """Measure the daemon at `url` and keep it beside the subject's environment.

    Raises InputError where it serves something else, or is not ready, EndpointError where nobody answers.
    """
    endpoint = _parse(url)
    routes, metrics = _ask(endpoint, "/routes"), _ask(endpoint, "/metrics")
    if not isinstance(routes, dict) or "routes" not in routes or not isinstance(metrics, str):
        raise EndpointError(f"{endpoint} is no daemon of modelyard", hint="name one: http://127.0.0.1:5111")
    measured = measure(routes, metrics)
    wanted = {model.full_name for model in models_of(subject)}
    if set(measured.load_seconds) != wanted:
        raise InputError(
            f"{endpoint} serves {', '.join(sorted(measured.load_seconds))}, not {', '.join(sorted(wanted))}",
            hint=f"serve it first: modelyard serve {subject.full_name}",
        )
    write_measured(measured_path(subject), measured)
    return measured


def _parse(url: str) -> Endpoint:
    parts = urlsplit(url if "//" in url else f"//{url}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("", "http") or parts.path not in ("", "/"):
        raise InputError(f"--measure {url}: no address of a daemon", hint="http://127.0.0.1:5111")
    return Endpoint(host=host, port=port or 80)


def _ask(endpoint: Endpoint, path: str) -> Any:
    try:
        status, answer = endpoint.request("GET", path)
    except (OSError, HTTPException) as error:
        raise EndpointError(
            f"no answer from {endpoint}{path}: {error or type(error).__name__}",
            hint="is it served? make predict starts it, modelyard ps shows what runs",
        ) from None
    if status != 200:
        raise EndpointError(f"{endpoint}{path} answered {status}", hint="name a daemon of modelyard")
    return answer
