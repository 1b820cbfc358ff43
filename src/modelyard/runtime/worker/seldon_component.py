"""A Seldon style class behind a route: made once, called by every protocol.

All of its methods are optional: `predict`, `transform_input`, `transform_output`, `route`, `aggregate`,
`send_feedback`, `health_status`, each also as `<name>_raw`, which takes and returns whole messages; `class_names`,
`tags`, `metrics`, `init_metadata`, `load`.
"""

from __future__ import annotations

import base64
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from modelyard.runtime.message import Message
from modelyard.runtime.primitives import load_json
from modelyard.runtime.worker.seldon_messages import (
    KINDS,
    MessageError,
    columns_of,
    find_kind,
    merge_metas,
    meta_of,
    names_of,
    put_meta,
    put_result,
    take_array,
    take_features,
)
from modelyard.runtime.worker.seldon_metrics import SeldonMetrics

_ABSENT = object()
_METRIC_TYPES = ("COUNTER", "GAUGE", "TIMER")
_FEEDBACK = ("request", "response", "reward", "truth")
_MESSAGE = ("status", "meta", "data", "binData", "strData", "jsonData", "customData")
# The tag `method` that a metric gets where it has tags.
_METHOD_TAGS = {
    "predict": "predict",
    "transform_input": "inputtransform",
    "transform_output": "outputtransform",
    "route": "router",
    "aggregate": "aggregate",
    "send_feedback": "feedback",
    "health_status": "health",
}


def make_component(target: Any) -> Component:
    """Make the instance of a Seldon style class (or take one that is made), and load it."""
    model = target(**read_parameters(os.environ)) if isinstance(target, type) else target
    component = Component(model, path=request_path(os.environ))
    component.call("load")
    return component


def read_parameters(environ: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of the class's constructor, from PREDICTIVE_UNIT_PARAMETERS.

    >>> read_parameters({"PREDICTIVE_UNIT_PARAMETERS": '[{"name": "bias", "value": "0.5", "type": "FLOAT"}]'})
    {'bias': 0.5}
    """
    convert: dict[str, Callable[[str], Any]] = {
        "INT": int,
        "FLOAT": float,
        "DOUBLE": float,
        "BOOL": lambda text: text.strip().lower() in ("true", "1", "yes", "on", "t", "y"),
    }
    items = load_json(environ.get("PREDICTIVE_UNIT_PARAMETERS") or "[]")
    return {item["name"]: convert.get(item.get("type", "STRING"), str)(item["value"]) for item in items}


class Component:
    """A Seldon style class's instance: a function for the native form, and all of its methods for Seldon's."""

    def __init__(self, model: Any, *, path: Mapping[str, str]) -> None:
        self._model = model
        self._path = path
        self.metrics = SeldonMetrics()
        self._takes_meta: dict[str, bool] = {}

    def __call__(self, msg: Message) -> Any:
        """Answer a native request: `instances` are the rows of an array, a message is answered by a message."""
        payload = msg.payload
        if isinstance(payload, dict) and any(kind in payload for kind in KINDS):
            return self.answer("predict", payload)
        if not isinstance(payload, dict) or "instances" not in payload:
            return _to_value(self._call_predict({"jsonData": payload}))
        request = {"data": {"names": payload.get("names") or [], "ndarray": payload["instances"]}}
        value = _to_value(self._call_predict(request))
        return value if isinstance(value, dict) else {"predictions": value}

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the class; _ABSENT where it has none but its base class's. An attribute is its value."""
        method = getattr(self._model, name, _ABSENT)
        if not callable(method):
            return method
        try:
            return method(*args, **kwargs)
        except Exception as error:
            if type(error).__name__ == "SeldonNotImplementedError":
                return _ABSENT
            raise

    def answer(self, method: str, message: Any) -> Any:
        """Answer a message by the class's `method`."""
        if method == "init_metadata":
            return describe_model(self._get(method, {}), os.environ)
        if method == "send_feedback":
            _check_feedback(message)
            message = message or {}
        reply = self.call(f"{method}_raw", *(() if method == "health_status" else (message,)))
        if reply is not _ABSENT:
            return reply if method == "health_status" else self._count_raw(method, reply)
        apply = self.apply if method in _OTHERWISE else getattr(self, f"_{method}")
        result, tags, metrics = _unpack(apply(method, message))
        if method == "route":
            result = _check_branch(result)
        metrics = self._take_metrics(method, metrics)
        request, given = _find_request(method, message)
        reply = put_result(result, request, self._get("class_names", None))
        tags = {**self._get("tags", {}), **tags}
        reply["meta"] = put_meta(given, request.get("meta", {}), tags=tags, metrics=metrics, path=self._path)
        return _as_protobuf(reply) if method == "send_feedback" else reply

    def _count_raw(self, method: str, reply: Any) -> Any:
        """Count the metrics that a whole message carries."""
        meta = reply.get("meta", {}) if isinstance(reply, dict) else {}
        if metrics := meta.get("metrics", []):
            meta["metrics"] = _tag_metrics(metrics, _METHOD_TAGS[method])
            self.metrics.update(meta["metrics"])
        return reply

    def _call_predict(self, message: Any) -> Any:
        """What `predict` returns, without its tags and metrics; a whole message where there is a `predict_raw`."""
        reply = self.call("predict_raw", message)
        if reply is not _ABSENT:
            return reply
        value, _, metrics = _unpack(self.apply("predict", message))
        self._take_metrics("predict", metrics)
        return value

    def apply(self, method: str, message: Any) -> Any:
        """Call `method` with the features and names of a message, and with its meta data where it takes them."""
        features = take_features(message)
        kwargs = {"meta": message.get("meta")} if self._takes(method, "meta") else {}
        result = self.call(method, features, columns_of(message), **kwargs)
        return _OTHERWISE[method](features) if result is _ABSENT and method in _OTHERWISE else result

    def _route(self, method: str, message: Any) -> Any:
        """The branch that a router chooses."""
        result = self.apply(method, message)
        if result is _ABSENT:
            raise MessageError("Route not defined")
        return result

    def _aggregate(self, method: str, message: Any) -> Any:
        """What a combiner makes of several messages."""
        messages = _find_messages(message)
        features = [take_features(item) for item in messages]
        result = self.call(method, features, [columns_of(item) for item in messages])
        if result is _ABSENT:
            raise MessageError("Aggregate not defined")
        return result

    def _send_feedback(self, method: str, message: Any) -> Any:
        """Hand a reward and the truth to the class."""
        request, truth = message.get("request") or {}, message.get("truth") or {}
        routing = (meta_of(message.get("response")).get("routing") or {}).get(next(iter(self._path), "0"))
        reward = float(message.get("reward") or 0.0)
        self.metrics.update_reward(reward)
        features, true = (take_array(_to_floats(item.get("data") or {})) for item in (request, truth))
        result = self.call(method, features, names_of(request), reward, true, routing=routing)
        return [] if result is _ABSENT or result is None else result

    def _health_status(self, method: str, message: Any) -> Any:
        """What the class says of its health."""
        result = self.call(method)
        return "healthy" if result is _ABSENT else result

    def _takes(self, method: str, name: str) -> bool:
        if method not in self._takes_meta:
            try:
                parameters = inspect.signature(getattr(self._model, method)).parameters
            except (AttributeError, TypeError, ValueError):
                parameters = inspect.signature(lambda: None).parameters
            kinds = [parameter.kind for parameter in parameters.values()]
            self._takes_meta[method] = name in parameters or inspect.Parameter.VAR_KEYWORD in kinds
        return self._takes_meta[method]

    def _get(self, name: str, otherwise: Any) -> Any:
        """What a method of the class, or an attribute in its place, says of the model."""
        value = self.call(name)
        return otherwise if value is _ABSENT or value is None else value

    def _take_metrics(self, method: str, metrics: list[Any]) -> list[Any]:
        """The metrics of a call and those that the class has after each; they count from here on."""
        found = _tag_metrics([*self._get("metrics", []), *metrics], _METHOD_TAGS[method])
        self.metrics.update(found)
        return found


_OTHERWISE: dict[str, Callable[[Any], Any]] = {
    "predict": lambda features: [],
    "transform_input": lambda features: features,
    "transform_output": lambda features: features,
}
"""What stands for the result of a method that the class has not."""


def _find_messages(message: Any) -> list[Any]:
    """The messages for a combiner: a list of them, alone or in a message of its own."""
    if isinstance(message, list):
        return message
    if "seldonMessages" in message and isinstance(message["seldonMessages"], list):
        return message["seldonMessages"]
    raise MessageError(f"Invalid request data type: {message}")


def _find_request(method: str, message: Any) -> tuple[Any, Any]:
    """The message whose form an answer has, and the meta data that are handed on."""
    if method == "aggregate":
        messages = _find_messages(message)
        return messages[0], merge_metas([item.get("meta") for item in messages])
    if method == "send_feedback":
        return message.get("request") or {}, None
    return message, message.get("meta") if method not in ("route", "health_status") else None


def _check_branch(result: Any) -> list[list[int]]:
    """The branch that a router chose, as an array."""
    if not isinstance(result, int):
        raise MessageError(f"Routing response must be int but got {result}")
    return [[result]]


def _to_value(result: Any) -> Any:
    """What a class has returned, for a client that knows nothing of messages."""
    if isinstance(result, (bytes, bytearray)):
        return base64.b64encode(result).decode()
    if not isinstance(result, dict) or not any(kind in result for kind in KINDS):
        return result
    kind = find_kind(result)
    return take_features(result) if kind == "data" else result[kind]


def _unpack(result: Any) -> tuple[Any, Mapping[str, Any], list[Any]]:
    """A result with the tags and metrics of this one call, which seldon_core's SeldonResponse carries."""
    if type(result).__name__ != "SeldonResponse":
        return result, {}, []
    return result.data, result.tags or {}, list(result.metrics or [])


def _tag_metrics(metrics: list[Any], method: str) -> list[Any]:
    if not all(_is_metric(metric) for metric in metrics):
        raise ValueError(f"Bad metric created during request: {metrics}")
    return [{**m, "tags": {**m["tags"], "method": method}} if m.get("tags") else m for m in metrics]


def _is_metric(metric: Any) -> bool:
    return isinstance(metric, dict) and "key" in metric and "value" in metric and metric.get("type") in _METRIC_TYPES


def _check_feedback(message: Any) -> None:
    """Raise MessageError for what is no feedback, in the words of the parser that a Seldon server has."""
    try:
        _check_fields(message, _FEEDBACK, "Feedback", "Feedback")
        message = message if isinstance(message, dict) else {}
        for name in ("request", "response", "truth"):
            with _parsing(name):
                _check_fields(message.get(name), _MESSAGE, "SeldonMessage", f"Feedback.{name}")
        with _parsing("reward"):
            _check_reward(message.get("reward"))
    except _ParseError as error:
        raise MessageError(f"Invalid JSON: {error}") from None


class _ParseError(Exception):
    """What a parser of protobuf says of JSON that does not fit a message."""


@contextmanager
def _parsing(field: str) -> Iterator[None]:
    try:
        yield
    except (_ParseError, TypeError) as error:
        raise _ParseError(f"Failed to parse {field} field: {error}.") from None


def _check_fields(value: Any, fields: Sequence[str], kind: str, place: str) -> None:
    for name in () if value is None else value:
        if name not in fields:
            raise _ParseError(
                f'Message type "seldon.protos.{kind}" has no field named "{name}" at "{place}".\n '
                f'Available Fields(except extensions): "{list(fields)}"'
            )


def _check_reward(reward: Any) -> None:
    if isinstance(reward, float) and reward != reward:
        raise _ParseError('Couldn\'t parse NaN, use quoted "NaN" instead at Feedback.reward')
    try:
        float(0.0 if reward is None else reward)
    except ValueError:
        raise _ParseError(f"Couldn't parse float: {reward} at Feedback.reward") from None


def _as_protobuf(reply: dict[str, Any]) -> dict[str, Any]:
    """The same message as protobuf writes it: no defaults, numbers as floats."""
    data = reply.get("data")
    if isinstance(data, dict):
        if not data["names"]:
            del data["names"]
        if "ndarray" in data:
            data["ndarray"] = _to_floats(data["ndarray"])
        elif data["tensor"]["values"]:
            data["tensor"]["values"] = _to_floats(data["tensor"]["values"])
        else:
            del data["tensor"]["values"]
    elif "jsonData" in reply:
        reply["jsonData"] = _to_floats(reply["jsonData"])
    for position, metric in enumerate(reply["meta"].get("metrics", [])):
        kept = {key: value for key, value in metric.items() if (key, value) != ("type", "COUNTER")}
        reply["meta"]["metrics"][position] = {**kept, "value": float(metric["value"])}
    return reply


def _to_floats(value: Any) -> Any:
    """The value with its whole numbers as floats, but for the shape of a tensor: protobuf knows no others."""
    if isinstance(value, dict):
        return {key: item if key == "shape" else _to_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_floats(item) for item in value]
    return float(value) if type(value) is int else value


def request_path(environ: Mapping[str, str]) -> dict[str, str]:
    """What Seldon calls this unit, and its image: told to clients as the way their request went."""
    unit = environ.get("PREDICTIVE_UNIT_ID")
    return {unit: environ.get("PREDICTIVE_UNIT_IMAGE", "")} if unit else {}


def describe_model(given: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The model's metadata: what the class says, MODEL_METADATA (as JSON) over it, and the image's name otherwise."""
    image, _, version = environ.get("PREDICTIVE_UNIT_IMAGE", "").rpartition(":")
    default = {"name": image, "versions": [version], "platform": "", "inputs": [], "outputs": [], "custom": {}}
    return {**default, **given, **load_json(environ.get("MODEL_METADATA") or "{}")}
