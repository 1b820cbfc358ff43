"""Requests and answers of the Open Inference Protocol (V2): tensors become a payload, an answer becomes tensors.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, with Triton's
extension binary_tensor_data.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.gateway.protocols.bodies import make_records
from modelyard.runtime.gateway.protocols.tensors import (
    BINARY_SIZE,
    decode_tensor,
    encode_tensor,
    parameters_of,
)
from modelyard.runtime.nearest import describe_choices
from modelyard.runtime.values import from_json_bytes, to_json_bytes

HEADER_LENGTH = "Inference-Header-Content-Length"
VERSION = "1"
"""Of every model: there is one at a time."""
_BINARY = "binary_data"
_ALL_BINARY = "binary_data_output"


@dataclass(frozen=True, kw_only=True)
class Inference:
    """A decoded request: `payload` goes to the model, the rest shapes the answer."""

    payload: dict[str, Any]
    id: str | None
    parameters: Mapping[str, Any]
    outputs: Mapping[str, bool]
    """The outputs that are asked for, each with whether as bytes; empty for all."""

    def is_binary(self, output: str) -> bool:
        """Tell whether an output goes outside of the JSON."""
        return self.outputs.get(output, bool(self.parameters.get(_ALL_BINARY)))


def decode_request(body: bytes, header_length: int | None = None) -> Inference:
    """Read a request; `header_length` is the length of its JSON where tensors' bytes follow. Raises Problem 400."""
    try:
        document = from_json_bytes(body[:header_length])
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is no JSON: {error or 'nested too deep'}") from None
    tensors = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(tensors, list) or not tensors:
        fault = "empty" if tensors == [] else "missing" if tensors is None else "no list"
        hint = 'send {"inputs": [{"name": ..., "shape": ..., "datatype": ..., ...}]}'
        raise Problem(400, f"inputs is {fault}: {hint}")
    rest = memoryview(body)[len(body) if header_length is None else header_length :]
    values = _decode_inputs(tensors, rest)
    parameters = parameters_of(document, "the request")
    return Inference(
        payload=arrange_payload(values, as_records=parameters.get("content_type") == "pd"),
        id=_read_id(document),
        parameters=parameters,
        outputs=_read_outputs(document.get("outputs") or [], bool(parameters.get(_ALL_BINARY))),
    )


def arrange_payload(values: Mapping[str, Any], *, as_records: bool = False) -> dict[str, Any]:
    """What a model gets for its inputs, by name: one is the instances, several stand under `inputs`.

    As records, each input is a column of the instances.

    >>> arrange_payload({"x": [[1.0, 2.0]]})
    {'instances': [[1.0, 2.0]]}
    >>> arrange_payload({"age": [25, 38], "sex": ["f", "m"]}, as_records=True)
    {'instances': [{'age': 25, 'sex': 'f'}, {'age': 38, 'sex': 'm'}]}
    """
    if as_records:
        columns = {name: _take_column(value) for name, value in values.items()}
        if len(set(map(len, columns.values()))) != 1:
            counts = ", ".join(f"{name} has {len(column)}" for name, column in columns.items())
            raise Problem(400, f"the inputs differ in rows: {counts}")
        return {"instances": make_records(list(columns), list(zip(*columns.values(), strict=True)))}
    if len(values) == 1:
        return {"instances": next(iter(values.values()))}
    return {"inputs": dict(values)}


def encode_answer(answer: Any, inference: Inference, model: str) -> tuple[bytes, bytes]:
    """The answer's JSON, and the bytes that follow it; each key of an object is an output. Raises Problem 400."""
    results = answer if isinstance(answer, dict) else {"predictions": answer}
    check_outputs(inference, results, model)
    outputs, parts = [], []
    for name in inference.outputs or results:
        tensor, data = encode_tensor(name, results[name], as_bytes=inference.is_binary(name))
        outputs.append(tensor)
        parts.append(data)
    document: dict[str, Any] = {"model_name": model, "model_version": VERSION, "outputs": outputs}
    if inference.id is not None:
        document["id"] = inference.id
    echoed = {key: value for key, value in inference.parameters.items() if key != _ALL_BINARY}
    if echoed:
        document["parameters"] = echoed
    return to_json_bytes(document), b"".join(parts)


def read_request(body: bytes, *, header_length: int | None) -> tuple[Mapping[str, Any], bytes]:
    """A conversion: a request becomes its payload; what shapes the answer is told beside it."""
    inference = decode_request(body, header_length)
    shaping = {"id": inference.id, "parameters": inference.parameters, "outputs": inference.outputs}
    return shaping, json.dumps(inference.payload, separators=(",", ":")).encode()


def write_answer(content: bytes, *, inference: Mapping[str, Any], model: str) -> tuple[Mapping[str, Any], bytes]:
    """A conversion: a model's answer becomes the protocol's; its headers are told where bytes follow the JSON."""
    head, tail = encode_answer(json.loads(content), Inference(payload={}, **inference), model)
    return ({HEADER_LENGTH: str(len(head))} if tail else {}), head + tail


def check_outputs(inference: Inference, known: Iterable[str], model: str) -> None:
    """Raise Problem 400 where an output is asked for that is not among the `known` ones."""
    names = list(known)
    unknown = [name for name in inference.outputs if name not in names]
    if unknown:
        raise Problem(400, f"no output {unknown[0]!r}: {model} answers with {describe_choices(unknown[0], names)}")


def _decode_inputs(tensors: list[Any], rest: memoryview) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number, tensor in enumerate(tensors):
        place = f"inputs[{number}]"
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str):
            raise Problem(400, f"{place}.name is missing")
        if name in values:
            raise Problem(400, f"{place}.name is {name!r}, as another input's is")
        size = parameters_of(tensor, place).get(BINARY_SIZE)
        if size is not None and (type(size) is not int or not 0 <= size <= len(rest)):
            raise Problem(400, f"{place}: {BINARY_SIZE} is {size!r}, but {len(rest)} bytes are left ({HEADER_LENGTH})")
        values[name] = decode_tensor(tensor, place, None if size is None else rest[:size])
        rest = rest[size or 0 :]
    if len(rest):
        raise Problem(400, f"{len(rest)} bytes follow those of the inputs: name them by {BINARY_SIZE}")
    return values


def _read_id(document: dict[str, Any]) -> str | None:
    given = document.get("id")
    if given is not None and not isinstance(given, str):
        raise Problem(400, f"id is {json.dumps(given)[:80]}, no string")
    return given


def _read_outputs(items: Any, all_binary: bool) -> dict[str, bool]:
    if not isinstance(items, list) or not all(isinstance(item, dict) and "name" in item for item in items):
        raise Problem(400, 'outputs is no list of {"name": ...}')
    return {str(item["name"]): bool(parameters_of(item, "outputs").get(_BINARY, all_binary)) for item in items}


def _take_column(value: Any) -> list[Any]:
    """A column's values; its shape may be [rows], [rows, 1], or none at all."""
    if not isinstance(value, list):
        return [value]
    return [item[0] if isinstance(item, list) and len(item) == 1 else item for item in value]
