import ast
from pathlib import Path
from typing import Any

import pytest

from modelyard.runtime import message, values
from modelyard.runtime.daemon import wire
from modelyard.runtime.failures import describe_error
from modelyard.runtime.message import Message
from modelyard.runtime.worker import answering, inbox, loading, worker
from modelyard.runtime.worker.answering import answer


def echo(msg: Message) -> Any:
    return msg.payload


class Refused(Exception):
    status_code = 409


class Itself:
    def tolist(self) -> Any:
        return [self]


class Unreadable:
    def tolist(self) -> Any:
        raise Refused("taken")


def raising(error: BaseException) -> loading.Function:
    def function(msg: Message) -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        (b'{"payload": {"a": 1}}', b'{"payload":{"a":1}}'),
        (b'{"payload": null}', b'{"payload":null}'),
        (b'{"instances": [[1]]}', b'{"instances":[[1]]}'),
        (b"[1, 2]", b"[1,2]"),
        (b'\xef\xbb\xbf{"a": "\xc3\xa9"}', b'{"a":"\\u00e9"}'),
    ],
)
def test_an_envelope_is_answered_by_an_envelope(body: bytes, answered: bytes) -> None:
    assert answer(echo, body) == ({"status": 200}, answered)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "it is empty"),
        (b'{"a": }', "Expecting value: line 1 column 7"),
        (b'{"a": NaN}', "NaN is no JSON, send null"),
        (b"\xff\xfe\xff", "decode"),
        (b"[" * 100_000, ""),
        (b"1" * 5000, "integer string conversion"),
    ],
)
def test_a_body_that_is_no_json_is_400(body: bytes, why: str) -> None:
    header, _ = answer(echo, body)
    assert header["status"] == 400
    assert "the body is no JSON" in header["detail"]
    assert why in header["detail"]


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [(ValueError("no such colour"), 422, "no such colour"), (Refused("taken"), 409, "taken"), (ValueError(), 422, "")],
)
def test_the_clients_mistake_is_told_to_the_client(error: Exception, status: int, detail: str) -> None:
    header, _ = answer(raising(error), b"{}")
    assert header["status"] == status
    assert detail in header["detail"]
    assert header["detail"]
    assert "log" not in header


@pytest.mark.parametrize("error", [KeyError("secret"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_any_other_exception_is_500_with_a_trace_for_the_log_only(error: BaseException) -> None:
    header, body = answer(raising(error), b"{}")
    assert (header["status"], body) == (500, b"")
    assert "detail" not in header
    assert type(error).__name__ in header["log"]
    assert "test_worker.py" in header["log"]
    assert not any(module.__file__ in header["log"] for module in (worker, answering))


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"labels": {1}}, "$.labels is a set, which JSON can't hold"),
        ({"big": 10**5000}, "$.big is a int that can't be made JSON: ValueError: Exceeds the limit"),
        (Itself(), "nested more than 200 levels deep, or holds itself"),
        (Unreadable(), "Unreadable that can't be made JSON: Refused: taken"),
    ],
    ids=["set", "big", "itself", "unreadable"],
)
def test_a_result_that_is_no_json_is_500_and_named(result: Any, says: str) -> None:
    header, _ = answer(lambda msg: result, b"{}")
    assert header["status"] == 500
    assert says in header["log"]


def test_a_file_that_lies_beside_the_code_is_said_with_how_to_open_it(tmp_path: Path) -> None:
    (tmp_path / "words.txt").touch()
    code = compile("def run(msg):\n    open(msg.payload)", str(tmp_path / "predict.py"), "exec")
    names: dict[str, Any] = {}
    exec(code, names)
    header, _ = answer(names["run"], b'"words.txt"')
    assert "hint: words.txt lies beside predict.py" in header["log"]
    assert "open(Path(__file__).parent / 'words.txt')" in header["log"]
    assert "hint" not in answer(names["run"], b'"others.txt"')[0]["log"]
    with pytest.raises(FileNotFoundError) as error:
        names["run"](Message("words.txt"))
    assert "(predict.py:2); words.txt lies beside" in loading.describe_failure(error.value, tmp_path)


def test_a_huge_trace_fits_into_a_frame() -> None:
    header = describe_error(KeyError("x" * 1_000_000))
    assert wire.encode_frame(header)


@pytest.mark.parametrize(
    "module", [worker, answering, loading, inbox, message, values, wire], ids=lambda module: module.__name__
)
def test_it_is_written_for_older_pythons_too(module: Any) -> None:
    source = Path(module.__file__).read_text()
    assert "from __future__ import annotations" in source or "|" not in source
    ast.parse(source, feature_version=(3, 9))
