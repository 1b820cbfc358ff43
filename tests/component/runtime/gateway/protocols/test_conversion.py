import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from modelyard.runtime.gateway.conversion import SMALL, Conversion, Lane, LimitError
from modelyard.runtime.gateway.converter import OUT_OF_MEMORY
from modelyard.runtime.gateway.framing import parse_head
from modelyard.runtime.gateway.kinds import Kind
from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.gateway.protocols.bodies import convert_form
from modelyard.runtime.gateway.protocols.inference_messages import HEADER_LENGTH, read_request
from modelyard.runtime.gateway.protocols.npy import NPY
from modelyard.runtime.gateway.protocols.sagemaker import CSV, JSON_LINES, read_rows, write_rows

ECHO = """
    def echo(msg): return msg.payload
    def many(msg): return {"predictions": [[number, 0.5] for number in range(5000)]}
"""
ROUTES = ("echo", "many")


def stay() -> bool:
    """A client that waits."""
    return False


@pytest.fixture
def conversion() -> Iterator[Conversion]:
    made = Conversion(max_body=1 << 22)
    yield made
    made.close()


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane(1 << 24, seconds=0.5, memory=64 << 20)
    yield made
    made.close()


def process_of(lane: Lane) -> Any:
    """The process of a lane."""
    return lane._process


# What becomes of bodies


@pytest.mark.parametrize(
    ("convert", "body", "arguments"),
    [
        (read_rows, b"25,Private,,1.5,007\n" * 1000, {"media_type": CSV}),
        (read_rows, b'{"a": [1, "\\u00e9"]}\n' * 1000, {"media_type": JSON_LINES}),
        (write_rows, json.dumps({"predictions": [[0.25, "\u00e9"]] * 2000}).encode(), {"media_type": CSV}),
        (
            convert_form,
            b'--b\r\nContent-Disposition: form-data; name="binData"; filename="x"\r\n\r\n%b\r\n--b--\r\n'
            % bytes(20_000),
            {"content_type": "multipart/form-data; boundary=b"},
        ),
        (
            read_request,
            json.dumps(
                {
                    "id": "7",
                    "parameters": {"content_type": "np"},
                    "inputs": [{"name": "x", "shape": [4000], "datatype": "FP64", "data": [0.1] * 4000}],
                    "outputs": [{"name": "y"}],
                }
            ).encode(),
            {"header_length": None},
        ),
    ],
)
def test_a_large_body_becomes_the_same_as_if_it_were_small(
    conversion: Conversion, convert: Any, body: bytes, arguments: Any
) -> None:
    assert len(body) > SMALL
    about, result = convert(body, **arguments)
    frame = conversion.read(convert, body, is_gone=stay, **arguments)
    assert (frame.header, frame.body) == (about, result)


def test_what_a_large_body_is_refused_for_is_the_same_too(conversion: Conversion) -> None:
    for body in (b"{}\n{", b"{}\n" * 10_000 + b"{"):
        with pytest.raises(Problem, match=r"line \d+ of the body is no JSON") as error:
            conversion.read(read_rows, body, is_gone=stay, media_type=JSON_LINES)
        assert error.value.status == 400


def test_large_requests_and_answers_of_protocols_reach_the_model_and_the_client(serve: Any) -> None:
    client = serve(ECHO, *ROUTES)
    rows = [[number, number / 4] for number in range(2000)]
    text = "".join(f"{first},{second}\n" for first, second in rows)
    target = {"X-Amzn-SageMaker-Target-Model": "echo"}
    answer = client.post("/invocations", data=text, content_type=CSV, headers=target)
    assert answer.json == {"instances": rows}
    target["X-Amzn-SageMaker-Target-Model"] = "many"
    answer = client.post("/invocations", json={}, headers={**target, "Accept": CSV})
    assert answer.text == "".join(f"{number},0.5\n" for number in range(5000))
    assert client.post("/v1/models/many:predict", json={}).json["predictions"][-1] == [4999, 0.5]


# MAX_BODY


def test_max_body_counts_what_a_body_becomes(serve: Any) -> None:
    client = serve(ECHO, "echo", max_body=100_000)
    for count, status in ((4_000, 200), (20_000, 413)):
        data = struct.pack(f"<{count}f", *[0.1] * count)
        tensor = {"name": "x", "shape": [count], "datatype": "FP32", "parameters": {"binary_data_size": len(data)}}
        head = json.dumps({"inputs": [tensor]}).encode()
        answer = client.post("/v2/models/echo/infer", data=head + data, headers={HEADER_LENGTH: str(len(head))})
        assert answer.status_code == status, answer.text
    assert answer.json == {"error": "the body becomes 400015 bytes of JSON, more than 100000 (MAX_BODY)"}


def test_what_a_small_body_becomes_counts_as_well() -> None:
    text = b"n" * 4000 + b"\n" + b"1\n" * 2000
    with pytest.raises(Problem, match="the body becomes 8014015 bytes of JSON, more than 1000000") as error:
        Conversion(max_body=1_000_000).read(read_rows, text, is_gone=stay, media_type=CSV, has_header=True)
    assert error.value.status == 413


def test_a_form_of_too_many_fields_is_413_and_says_so(serve: Any) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="n%d"\r\n\r\n1\r\n'
    form = b"".join(part % number for number in range(1100)) + b"--b--\r\n"
    answer = serve(ECHO, *ROUTES).post("/echo", data=form, content_type="multipart/form-data; boundary=b")
    assert (answer.status_code, answer.json["detail"]) == (413, "the form has more than 1000 fields: send fewer")


def test_what_shapes_an_answer_is_bounded(conversion: Conversion) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}
    body = json.dumps({"inputs": [tensor], "parameters": {"a": "x" * (1 << 20)}}).encode()
    with pytest.raises(Problem, match="beside its values is larger than 1 MB") as error:
        conversion.read(read_request, body, is_gone=stay, header_length=None)
    assert error.value.status == 413


# Limits


def test_what_takes_too_much_memory_ends_and_the_next_is_converted(lane: Lane) -> None:
    with pytest.raises(LimitError, match="takes more than 64 MB of memory to convert"):
        lane.convert(read_rows, b"{}\n" * 1_000_000, stay, {"media_type": JSON_LINES})
    assert lane.convert(read_rows, b"{}\n", stay, {"media_type": JSON_LINES}).body == b'{"instances":[{}]}'


def test_what_takes_too_long_ends_and_the_next_is_converted() -> None:
    lane = Lane(1 << 24, seconds=0.3, memory=1 << 30)
    try:
        with pytest.raises(LimitError, match=r"takes more than 0\.3 s to convert"):
            lane.convert(read_rows, b"1,2,3\n" * 1_000_000, stay, {"media_type": CSV})
        assert lane.convert(read_rows, b"1", stay, {"media_type": CSV}).body == b'{"instances":[[1]]}'
    finally:
        lane.close()


def test_beyond_its_limits_a_body_is_413_and_an_answer_500() -> None:
    conversion = Conversion(max_body=1 << 21)
    try:
        with pytest.raises(Problem, match=r"body takes more than (64 MB of memory|4 s) to convert: send") as error:
            conversion.read(read_rows, b"1\n" * (1 << 20), is_gone=stay, media_type=CSV)
        assert error.value.status == 413
        rows = b'{"predictions":[%b{}]}' % (b"{}," * 1_000_000)
        with pytest.raises(Problem, match=r"answer takes more than (64 MB of memory|4 s) to convert: ask") as error:
            conversion.write(write_rows, rows, is_gone=stay, media_type=CSV)
        assert error.value.status == 500
    finally:
        conversion.close()


def test_a_process_that_takes_its_time_to_end_is_asked_why(lane: Lane) -> None:
    ours, theirs = socket.socketpair()
    code = f"import os, sys, time; os.close(int(sys.argv[1])); time.sleep(1.5); sys.exit({OUT_OF_MEMORY})"
    with theirs:
        fd = theirs.fileno()
        lane._process = subprocess.Popen([sys.executable, "-c", code, str(fd)], pass_fds=(fd,))
    lane._sock = ours
    with pytest.raises(LimitError, match="memory"):
        lane.convert(read_rows, b"1", stay, {"media_type": CSV})


def test_a_process_that_is_killed_is_started_again(lane: Lane) -> None:
    lane.convert(read_rows, b"1", stay, {"media_type": CSV})
    process = process_of(lane)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(LimitError, match="memory"):  # as the system does where memory runs out
        lane.convert(read_rows, b"1", stay, {"media_type": CSV})
    assert process.returncode == -signal.SIGKILL
    assert lane.convert(read_rows, b"1", stay, {"media_type": CSV}).body == b'{"instances":[[1]]}'


def test_the_process_is_kept_until_it_has_grown() -> None:
    lane = Lane(1 << 24, seconds=20, memory=1 << 30)
    try:
        lane.convert(read_rows, b"1", stay, {"media_type": CSV})
        first = process_of(lane)
        lane.convert(read_rows, b"1,2\n" * 10_000, stay, {"media_type": CSV})
        assert process_of(lane) is first
        rows = json.dumps(["x" * 20_000, *["y"] * 1999]).encode()
        assert len(lane.convert(write_rows, rows, stay, {"media_type": NPY}).body) > 160_000_000
        assert process_of(lane) is None
        assert first.returncode is not None
    finally:
        lane.close()


def test_it_ends_with_the_gateway_and_not_before(lane: Lane) -> None:
    lane.convert(read_rows, b"1", stay, {"media_type": CSV})
    process = process_of(lane)
    process.send_signal(signal.SIGTERM)
    assert lane.convert(read_rows, b"2", stay, {"media_type": CSV}).body == b'{"instances":[[2]]}'
    lane._sock.close()
    assert process.wait(10) == 0


def test_more_than_may_wait_are_503() -> None:
    lane = Lane(1 << 24, seconds=20, memory=1 << 30)
    outcomes: list[Any] = []

    def convert() -> None:
        try:
            outcomes.append(lane.convert(read_rows, b"1,2,3\n" * 10_000, stay, {"media_type": CSV}))
        except Problem as problem:
            outcomes.append(problem.status)

    threads = [threading.Thread(target=convert) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lane.close()
    assert outcomes.count(503) == 8


def test_for_a_client_that_has_gone_nothing_is_converted(lane: Lane) -> None:
    with pytest.raises(Problem, match="the client has gone"):
        lane.convert(read_rows, b"1", lambda: True, {"media_type": CSV})
    assert process_of(lane) is None


# Who answers what


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        *((f"GET {path}", Kind.PROBE) for path in ("/livez", "/readyz", "/health", "/ping", "/health/ping")),
        ("HEAD /livez?x=1", Kind.PROBE),
        ("GET /v1/models/echo", Kind.PROBE),
        ("GET /v2/health/live", Kind.PROBE),
        ("GET /v2/health/ready", Kind.PROBE),
        ("GET /v2/models/echo/ready", Kind.PROBE),
        ("GET /seldon/echo/health/ping", Kind.PROBE),
        *((f"GET {path}", Kind.PAGE) for path in ("/", "/docs", "/openapi.json")),
        ("GET /metrics", Kind.METRICS),
        *((f"GET {path}", Kind.STATE) for path in ("/routes", "/v2/models/echo", "/seldon.json", "/nothing", "/echo")),
        ("GET /predict?json={}", Kind.MODEL),
        ("GET /seldon/echo/predict", Kind.MODEL),
        ("GET /seldon/echo/%70redict", Kind.MODEL),
        ("GET /api/v1.0/predictions#x", Kind.MODEL),
        ("GET /predict/", Kind.MODEL),
        ("GET /metadata", Kind.MODEL),
        ("GET http://x/predict", Kind.MODEL),
        ("POST /livez", Kind.MODEL),
        ("POST /v2/models/echo/infer", Kind.MODEL),
    ],
)
def test_requests_are_of_kinds(serve: Any, line: str, kind: Kind) -> None:
    kinds = serve("def echo(msg): return msg.payload", "echo").application.extensions["kinds"]
    assert kinds.find(parse_head(f"{line} HTTP/1.1\r\nHost: x".encode())) is kind


def test_a_probe_with_a_body_is_none(serve: Any) -> None:
    kinds = serve("def echo(msg): return msg.payload", "echo").application.extensions["kinds"]
    assert kinds.find(parse_head(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9")) is Kind.STATE
