"""What may be said between processes that do not trust each other: every message is checked here, in one place.

A worker runs a model's code, which may write to any descriptor that it finds; what it says to the supervisor and to the
gateway, and what lies in files that processes share, is believed once it has the form of a message. For any Python from
3.9 on.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection, Mapping
from json import JSONDecoder
from os import O_CLOEXEC, O_NONBLOCK, O_RDONLY, fsencode, fstat, read
from pathlib import Path
from signal import SIGUSR2
from typing import Any

from modelyard.runtime.primitives import Struct, close, open_file

Check = Callable[[Any], bool]
Form = Mapping[str, Check]
CLOCK = Struct("dd")
"""The file in which a worker shows when its running call has to end, and how many seconds it may take: 0 for none."""
DUMP_SIGNAL = SIGUSR2
"""What has a worker print where it is."""
_MOST_SECONDS = 1e9
_MOST_COUNTED = float(1 << 53)
_MOST_NUMBER = 1 << 64
_MOST_PID = 1 << 22
_DEEPEST = 100
_LONGEST = 1 << 20
_SHOWN = 60


class NonsenseError(Exception):
    """What came over a channel is no message of it; the text says what is wrong, on one line."""


# Forms: by key, what the value has to be


def text(value: Any) -> bool:
    """Tell whether it is a text that may be shown and passed on."""
    return isinstance(value, str) and len(value) <= _LONGEST


def whole(least: int, most: int) -> Check:
    """Tell integers within bounds."""
    return lambda value: type(value) is int and least <= value <= most


def number(least: float, most: float) -> Check:
    """Tell numbers within bounds, among which NaN never is."""
    return lambda value: type(value) in (int, float) and least <= value <= most


def maybe(check: Check) -> Check:
    """Tell None as well."""
    return lambda value: value is None or check(value)


def each(check: Check) -> Check:
    """Tell lists of such values."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def table(keys: Check, values: Check) -> Check:
    """Tell objects of such keys and values."""
    return lambda value: isinstance(value, dict) and all(map(keys, value)) and all(map(values, value.values()))


def plain(value: Any, depth: int = 0) -> bool:
    """Tell whether it is JSON that every process here can read and write: not too deep, all numbers finite."""
    if isinstance(value, dict):
        return depth < _DEEPEST and all(plain(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        return depth < _DEEPEST and all(plain(item, depth + 1) for item in value)
    return type(value) is not float or abs(value) < float("inf")


def path(value: Any) -> bool:
    """Tell whether it is a path that the system can be asked about."""
    try:
        return text(value) and b"\0" not in fsencode(value)
    except UnicodeError:
        return False


def check_form(message: Mapping[str, Any], form: Form, what: str) -> dict[str, Any]:
    """The message, as far as it has a form; raise NonsenseError where a key is missing or its value is another."""
    for key, check in form.items():
        if key not in message:
            raise NonsenseError(f"{what} without {key}: {show(message)}")
        if not check(message[key]):
            raise NonsenseError(f"{what} whose {key} is {show(message[key])}")
    return {key: message[key] for key in form}


def parse_object(line: str | bytes) -> dict[str, Any]:
    """Read a JSON object; raise NonsenseError for anything else, however deep, long or infinite."""
    try:
        value = _DECODER.decode(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError):
        raise NonsenseError(f"no JSON: {show(line)}") from None
    if not isinstance(value, dict):
        raise NonsenseError(f"no JSON object: {show(line)}")
    return value


def show(value: Any) -> str:
    """The beginning of a value, in visible characters."""
    said = ascii(value[:_SHOWN] if isinstance(value, (str, bytes)) else value)
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"


# A worker to its supervisor

_NEWS: Mapping[str, Form] = {
    "alive": {},
    "failed": {"reason": text},
    "unbatched": {"route": text, "reason": text},
    "ready": {
        "seconds": number(0, _MOST_SECONDS),
        "modules": each(text),
        "files": table(path, maybe(each(whole(-_MOST_NUMBER, _MOST_NUMBER)))),
        "answered": each(text),
        "unbatched": table(text, maybe(text)),
        "answers": table(text, lambda schema: isinstance(schema, dict) and plain(schema)),
    },
}
_BY_ROUTE = ("answered", "unbatched", "answers")


def parse_news(line: str, routes: Collection[str], *, is_ready: bool, is_asked: bool) -> dict[str, Any]:
    """What a worker of these routes has to say, where it is time for that; raises NonsenseError."""
    news = parse_object(line)
    state = news.get("state")
    if not isinstance(state, str) or state not in _NEWS:
        raise NonsenseError(f"no news: {show(line)}")
    news = {"state": state, **check_form(news, _NEWS[state], f"{state} news")}
    if (state == "alive" and not is_asked) or (state in ("ready", "failed") and is_ready):
        raise NonsenseError(f"{state} news that nobody waits for")
    named = [news["route"]] if state == "unbatched" else [name for key in _BY_ROUTE for name in news.get(key, ())]
    unknown = [name for name in named if name not in routes]
    if unknown or (state == "unbatched" and not is_ready):
        raise NonsenseError(f"{state} news of what it does not serve: {show(unknown or named)}")
    return news


# A fork server to its supervisor

_FORKS: Mapping[str, Form] = {
    "forked": {"forked": whole(2, _MOST_PID)},
    "exit": {"exit": whole(2, _MOST_PID), "code": whole(-255, 255)},
    "preloaded": {"preloaded": lambda value: value is True},
    "refused": {"refused": text},
}


def parse_fork_news(line: str) -> dict[str, Any]:
    """What a fork server has to say; raises NonsenseError."""
    news = parse_object(line)
    kind = next((kind for kind in _FORKS if kind in news), None)
    if kind is None:
        raise NonsenseError(f"no news: {show(line)}")
    return check_form(news, _FORKS[kind], f"{kind} news")


# Orders to the supervisor, and their answers

_ORDER: Form = {"do": lambda value: value in ("reload", "load", "unload", "end"), "model": text}
_END: Form = {"pid": whole(2, _MOST_PID), "why": text}


def parse_order(line: str) -> dict[str, Any]:
    """An order; raises NonsenseError."""
    order = parse_object(line)
    return check_form(order, {**_ORDER, **_END} if order.get("do") == "end" else _ORDER, "an order")


def parse_order_answer(line: bytes) -> str | None:
    """Why an order could not be carried out, or None; raises NonsenseError."""
    error: str | None = check_form(parse_object(line), {"error": maybe(text)}, "an answer to an order")["error"]
    return error


# Frames between gateway and worker

_NUMBER = whole(0, _MOST_NUMBER - 1)
_REQUEST: Form = {"n": _NUMBER, "route": text}
_REQUEST_MORE: Form = {
    "timeout": number(0, _MOST_SECONDS),
    "id": maybe(text),
    "traceparent": maybe(text),
    "protocol": text,
    "method": text,
}
_ANSWER: Form = {"n": _NUMBER, "status": whole(200, 599)}
_ANSWER_MORE: Form = {"detail": text, "log": text, "retry_after": whole(0, int(_MOST_SECONDS)), "batch": _NUMBER}


def check_request(header: Mapping[str, Any]) -> None:
    """Raise NonsenseError where a frame to a worker is neither a request nor takes one back."""
    if "cancel" in header:
        check_form(header, {"cancel": _NUMBER}, "a frame")
        return
    check_form(header, _REQUEST, "a request")
    _check_more(header, _REQUEST_MORE, "a request")
    if "protocol" in header and "method" not in header:
        raise NonsenseError(f"a request of a protocol without method: {show(header)}")


def check_answer(header: Mapping[str, Any]) -> None:
    """Raise NonsenseError where a frame from a worker is neither an answer nor a bye."""
    if "bye" not in header:
        check_form(header, _ANSWER, "an answer")
        _check_more(header, _ANSWER_MORE, "an answer")


def _check_more(message: Mapping[str, Any], form: Form, what: str) -> None:
    """Check the keys that a message may lack."""
    check_form(message, {key: check for key, check in form.items() if key in message}, what)


# Files that processes share


def read_shared(path: Path, most: int) -> bytes:
    """Read a file of at most so many bytes; raise OSError where it is longer, or something that has no end."""
    descriptor = open_file(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    try:
        about = fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > most:
            raise OSError(f"{path} is no file of at most {most} bytes")
        return read(descriptor, most)
    finally:
        close(descriptor)


def read_clock(data: bytes, now: float, longest: float) -> tuple[float, float]:
    """When the running call has to end, and how long it may take; raise NonsenseError where no call could show that."""
    if len(data) != CLOCK.size:
        raise NonsenseError(f"a clock of {len(data)} bytes")
    end_by, seconds = CLOCK.unpack(data)
    # The worker writes one after the other: there may be an end already, and no length.
    if not (0.0 <= end_by <= now + longest and 0.0 <= seconds <= longest):
        raise NonsenseError(f"a clock that shows {end_by:g} and {seconds:g}, at {now:g}")
    return end_by, seconds


def clean_count(value: float) -> float:
    """What was counted; nothing where nobody can have counted that.

    >>> clean_count(3.0), clean_count(float("nan")), clean_count(-1.0), clean_count(1e300)
    (3.0, 0.0, 0.0, 0.0)
    """
    return value if 0.0 <= value <= _MOST_COUNTED else 0.0


STATUS: Form = {
    "name": text,
    "state": lambda value: value in ("loading", "ready", "failed", "restarting", "unloaded"),
    "reason": maybe(text),
    "pid": maybe(whole(1, _MOST_PID)),
    "restarts": _NUMBER,
    "turn": maybe(_NUMBER),
    "load_by": maybe(number(0, 2 * _MOST_SECONDS)),
    "load_seconds": maybe(number(0, _MOST_SECONDS)),
    "workers": _NUMBER,
    "pids": each(whole(1, _MOST_PID)),
    "reloads": _NUMBER,
    "reload_failures": _NUMBER,
    "reload_error": maybe(text),
    "unbatched": table(text, maybe(text)),
    "answers": table(text, plain),
}


def parse_statuses(data: bytes) -> list[dict[str, Any]]:
    """The fields of each model's status; raises NonsenseError."""
    document = parse_object(data)
    check_form(document, {"models": each(lambda model: isinstance(model, dict))}, "a status")
    return [check_form(fields, STATUS, "a status") for fields in document["models"]]


_METRIC: Form = {
    "name": text,
    "type": lambda value: value in ("COUNTER", "GAUGE", "TIMER"),
    "labels": table(text, text),
    "value": lambda value: type(value) in (int, float),
}


def is_metric(value: Any, *, counts: int) -> bool:
    """Tell whether a value is a metric of a Seldon style class; a histogram of one has so many counts."""
    if not isinstance(value, dict) or not all(key in value and check(value[key]) for key, check in _METRIC.items()):
        return False
    if "counts" not in value:
        return bool(value["type"] != "TIMER")
    return bool(value["type"] == "TIMER") and each(_NUMBER)(value["counts"]) and len(value["counts"]) == counts


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = JSONDecoder(parse_constant=_refuse_constant)
