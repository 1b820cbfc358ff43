"""Which requests are read as ones that may share a call."""

import socket

import pytest

from modelyard.runtime.daemon.wire import Frame
from modelyard.runtime.worker.batching import learn
from modelyard.runtime.worker.inbox import Connection, Job
from modelyard.runtime.worker.serving import decode

PLAN = learn(
    lambda payload: [sum(row) for row in payload["instances"]],
    {"instances": [[1.5, 2.0], [3.0, 4.0]], "threshold": 0.5},
    size=8,
    tolerance=1e-5,
)


@pytest.mark.parametrize(
    ("body", "shares"),
    [
        (b'{"instances": [[1.0, 2.0]], "threshold": 0.5}', True),
        (b'{"instances": [[1.0, 2.0]], "threshold": 0.25}', False),
        (b'{"instances": [[1.0, 2.0]], "threshold": 1%b}' % (b"0" * 400), False),
        (b'{"instances": [%b1%b], "threshold": 0.5}' % (b'{"a":' * 700, b"}" * 700), False),
        (b'{"instances": [%b1%b], "threshold": 0.5}' % (b"[" * 5000, b"]" * 5000), False),
        (b'{"instances": [[1.0, 2.0', False),
    ],
    ids=["like the test instances", "another constant", "a huge number", "deep", "too deep for JSON", "no JSON"],
)
def test_what_shares_no_call_is_no_failure_whatever_it_is(body: bytes, shares: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        job = Job(Frame({"route": "run", "n": 1}, body), Connection(ours, max_body=1 << 20))
        assert (decode(job, PLAN) is not None) == shares
