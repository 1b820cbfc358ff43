"""What the daemon reads from its environment variables, each with its default."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Generic, Literal, TypeVar

from modelyard.runtime.cores import count_cores
from modelyard.runtime.errors import InputError

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class PerRoute(Generic[Number]):
    """A number for every route, and others for some of them."""

    default: Number
    by_route: Mapping[str, Number] = field(default_factory=dict)

    def __getitem__(self, route: str) -> Number:
        return self.by_route.get(route, self.default)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The daemon's settings; each field says which variable sets it."""

    host: str = "0.0.0.0"
    """HOST: the address to listen on."""
    port: int = 5000
    """PORT: the port to listen on; 0 takes a free one."""
    metrics_port: int | None = None
    """PREDICTIVE_UNIT_METRICS_SERVICE_PORT: a second port, which Seldon asks for metrics; it answers as the first."""
    metrics_path: str = "/metrics"
    """PREDICTIVE_UNIT_METRICS_ENDPOINT: a second path of the metrics, as Seldon asks for it."""
    gateway_workers: int = 0
    """GATEWAY_WORKERS: processes of the HTTP gateway; 0 takes one for every four cores."""
    gateway_threads: int = 96
    """GATEWAY_THREADS: requests in other forms than plain JSON that a gateway process handles at once."""
    request_timeout: PerRoute[float] = PerRoute(60.0)
    """REQUEST_TIMEOUT, by route: seconds until a request is answered 504, and a call of a model is ended by force."""
    queue_size: int = 64
    """QUEUE_SIZE: requests that may wait for one model; more are answered 429 at once."""
    max_body: int = 16 * 1024 * 1024
    """MAX_BODY: bytes that a request's body may have; more are answered 413."""
    max_buffered: int = 256 * 1024 * 1024
    """MAX_BUFFERED: bytes (or 500M, 2G) of all requests together in a gateway process; large ones are 503 then."""
    workers: PerRoute[int] = PerRoute(0)
    """WORKERS, by route: processes of the route's model; 0 takes what fits the cores."""
    memory_limit: PerRoute[int] = PerRoute(0)
    """MEMORY_LIMIT, by route: bytes (or 500M, 2G) that a process of its model may hold until it is replaced; 0: any."""
    load_timeout: float = 600.0
    """LOAD_TIMEOUT: seconds that a model may take to load, until that is ended by force."""
    load_at_once: int = 0
    """LOAD_AT_ONCE: models that load at a time, the others wait for their turn; 0 takes one for every core."""
    preload: str = "1"
    """PRELOAD: `1`: workers that have an environment in common share what they import; `always`: a lone one, too, so
    that it is soon loaded again; `0` starts each from nothing."""
    header_timeout: float = 10.0
    """HEADER_TIMEOUT: seconds that a client may take to send a request's head."""
    body_timeout: float = 60.0
    """BODY_TIMEOUT: seconds that a client may take to send a body, and to take an answer."""
    keepalive: float = 30.0
    """KEEPALIVE: seconds that a connection is kept for another request."""
    batch_size: PerRoute[int] = PerRoute(64)
    """BATCH_SIZE, by route: rows that requests may share a call with, where that is safe; 1 turns it off."""
    batch_wait: PerRoute[float] = PerRoute(0.002)
    """BATCH_WAIT, by route: seconds that a call may wait for requests to share it, when the one before was shared."""
    batch_tolerance: float = 1e-5
    """BATCH_TOLERANCE: how far floats of a shared call may be from those of a single one; 0 asks for equality."""
    ready: Literal["all", "any"] = "all"
    """READY: /readyz is true when `all` models have loaded, or when `any` has."""
    default_route: str = ""
    """DEFAULT_ROUTE: the route meant by a protocol's paths that name none; the only one needs no saying."""
    stop_timeout: float = 30.0
    """STOP_TIMEOUT: seconds that accepted requests get to finish after SIGTERM."""
    log: Literal["text", "json"] = "text"
    """MODELYARD_LOG: `json` writes one JSON object a line."""
    access_log: bool = False
    """MODELYARD_ACCESS_LOG: `1` logs a line for each request."""
    log_payload: bool = False
    """MODELYARD_LOG_PAYLOAD: `1` does so with what was sent and answered, as far as it fits."""
    tokens: Path | None = None
    """MODELYARD_TOKENS: the file or folder with the bearer tokens of routes; see modelyard.runtime.daemon.tokens."""


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings; an empty variable counts as not set. Raises InputError naming the variable and its value."""
    default = Settings()
    return Settings(
        host=environ.get("HOST") or default.host,
        port=_parse_port("PORT", environ.get("PORT") or str(default.port)),
        metrics_port=_parse_optional_port(environ, "PREDICTIVE_UNIT_METRICS_SERVICE_PORT"),
        metrics_path=_parse_path("PREDICTIVE_UNIT_METRICS_ENDPOINT", environ) or default.metrics_path,
        gateway_workers=_whole(environ, "GATEWAY_WORKERS", default.gateway_workers, least=0),
        gateway_threads=_whole(environ, "GATEWAY_THREADS", default.gateway_threads),
        request_timeout=_per_route(environ, "REQUEST_TIMEOUT", default.request_timeout, _parse_seconds),
        queue_size=_whole(environ, "QUEUE_SIZE", default.queue_size),
        max_body=_whole(environ, "MAX_BODY", default.max_body),
        max_buffered=_parse_size("MAX_BUFFERED", environ.get("MAX_BUFFERED") or str(default.max_buffered)),
        workers=_per_route(environ, "WORKERS", default.workers, _parse_count),
        memory_limit=_per_route(environ, "MEMORY_LIMIT", default.memory_limit, _parse_size),
        load_timeout=_seconds(environ, "LOAD_TIMEOUT", default.load_timeout),
        load_at_once=_whole(environ, "LOAD_AT_ONCE", default.load_at_once, least=0),
        preload=_word(environ, "PRELOAD", ("1", "always", "0")),
        header_timeout=_seconds(environ, "HEADER_TIMEOUT", default.header_timeout),
        body_timeout=_seconds(environ, "BODY_TIMEOUT", default.body_timeout),
        keepalive=_seconds(environ, "KEEPALIVE", default.keepalive),
        batch_size=_per_route(environ, "BATCH_SIZE", default.batch_size, _parse_whole),
        batch_wait=_per_route(environ, "BATCH_WAIT", default.batch_wait, _parse_share),
        batch_tolerance=_parse_share("BATCH_TOLERANCE", environ.get("BATCH_TOLERANCE") or str(default.batch_tolerance)),
        ready="any" if _word(environ, "READY", ("all", "any")) == "any" else "all",
        default_route=environ.get("DEFAULT_ROUTE") or default.default_route,
        stop_timeout=_seconds(environ, "STOP_TIMEOUT", default.stop_timeout),
        log="json" if _word(environ, "MODELYARD_LOG", ("text", "json")) == "json" else "text",
        access_log=_word(environ, "MODELYARD_ACCESS_LOG", ("0", "1")) == "1",
        log_payload=_word(environ, "MODELYARD_LOG_PAYLOAD", ("0", "1")) == "1",
        tokens=_path(environ, "MODELYARD_TOKENS"),
    )


def follow_operator(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables with PORT as Seldon's operator says it, where nobody else does.

    >>> follow_operator({"PREDICTIVE_UNIT_SERVICE_PORT": "9000"})["PORT"]
    '9000'
    """
    if environ.get("PORT"):
        return environ
    said = next((name for name in _OPERATOR_PORTS if environ.get(name)), None)
    return environ if said is None else {**environ, "PORT": str(_parse_port(said, environ[said]))}


def find_unknown_routes(settings: Settings, routes: Collection[str]) -> Iterator[tuple[str, str]]:
    """The variables that say something of a route that is none of `routes`, with that route.

    >>> list(find_unknown_routes(load_settings({"WORKERS": "1,a=2,slwo=3"}), ["a", "slow"]))
    [('WORKERS', 'slwo')]
    """
    for one in fields(settings):
        value = getattr(settings, one.name)
        if isinstance(value, PerRoute):
            yield from ((one.name.upper(), route) for route in value.by_route if route not in routes)


def count_workers(settings: Settings, routes: Iterable[str], *, models: int) -> int:
    """The processes of a model with these routes, where there are that many models.

    Left to itself: half of the cores, shared out among the models, for the gateway and the system need theirs; one
    where there is a graphics card, whose memory is not to be filled with copies.
    """
    asked = max(settings.workers[route] for route in routes)
    if asked or Path("/dev/nvidia0").exists():
        return asked or 1
    return max(1, min(_MOST_WORKERS, count_cores() // (2 * max(1, models))))


_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_MOST_WORKERS = 4
# Seldon's operator says by these where it asks: https://docs.seldon.io/projects/seldon-core (python component).
_OPERATOR_PORTS = ("PREDICTIVE_UNIT_HTTP_SERVICE_PORT", "PREDICTIVE_UNIT_SERVICE_PORT")


def _whole(environ: Mapping[str, str], name: str, default: int, *, least: int = 1) -> int:
    return _parse_whole(name, environ.get(name) or str(default), least=least)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    return _parse_seconds(name, environ.get(name) or str(default))


def _parse_whole(name: str, text: str, *, least: int = 1) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise InputError(f"{name} is {text!r}, not a whole number from {least} on", hint=f"write {least}, or more")
    return int(text)


def _parse_port(name: str, text: str) -> int:
    port = _parse_whole(name, text, least=0)
    if port > 65535:
        raise InputError(f"{name} is {text!r}, and the last port is 65535", hint="write 5000, or 0 for a free one")
    return port


def _parse_optional_port(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    return _parse_port(name, text) if text else None


def _parse_path(name: str, environ: Mapping[str, str]) -> str | None:
    path = environ.get(name)
    if path and not path.startswith("/"):
        raise InputError(f"{name} is {path!r}, no path", hint="write /prometheus")
    return path or None


def _parse_count(name: str, text: str) -> int:
    return _parse_whole(name, text, least=0)


def _parse_size(name: str, text: str) -> int:
    digits, unit = (text[:-1], text[-1:].upper()) if text[-1:].upper() in _UNITS else (text, "")
    if not digits.isascii() or not digits.isdigit():
        raise InputError(f"{name} is {text!r}, not a number of bytes", hint="write it like 800M or 2G")
    return int(digits) * _UNITS.get(unit, 1)


def _parse_seconds(name: str, text: str) -> float:
    value = _parse_number(text)
    if not 0.0 < value < 1e9:
        raise InputError(f"{name} is {text!r}, not a number of seconds above 0", hint="write 60, for a minute")
    return value


def _parse_share(name: str, text: str) -> float:
    value = _parse_number(text)
    if not 0.0 <= value < 1e9:
        raise InputError(f"{name} is {text!r}, not a number from 0 on", hint="write 0, or more")
    return value


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def _per_route(
    environ: Mapping[str, str], name: str, default: PerRoute[Number], parse: Callable[[str, str], Number]
) -> PerRoute[Number]:
    """Read a number for every route, and `route=number` for single ones, in any order, between commas."""
    if not environ.get(name):
        return default
    usual, by_route = default.default, {}
    for item in environ[name].split(","):
        route, equals, text = item.strip().rpartition("=")
        if equals:
            by_route[route.strip()] = parse(f"{name} of {route.strip()!r}", text.strip())
        else:
            usual = parse(name, text)
    return PerRoute(usual, by_route)


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    text = environ.get(name)
    return Path(text).absolute() if text else None


def _word(environ: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    word = environ.get(name) or words[0]
    if word not in words:
        raise InputError(f"{name} is {word!r}", hint=f"set {name} to {' or '.join(words)}")
    return word
