"""What one client sends takes little of the real daemon's gateway, and nobody else waits for it."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemons import Daemon, starting_daemons, wait_until

pytestmark = pytest.mark.integration

PREDICT = """
    import os, time

    def count(msg):
        return len(msg.payload["instances"])

    def hold(msg):
        while not os.path.exists("go"):
            time.sleep(0.01)
        return "held"
"""
PROBES = ("/livez", "/readyz", "/health", "/ping", "/v1/models/count", "/v2/health/ready", "/v2/models/count/ready")
LISTS = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[%b]}]}'
SIZE = 4 << 20
BODIES = {
    "lists": ("/v2/models/count/infer", "application/json", LISTS % b",".join([b"[]"] * (SIZE // 3))),
    "objects": ("/v2/models/count/infer", "application/json", LISTS % b",".join([b'{"":0}'] * (SIZE // 7))),
    "lines": ("/models/count/invoke", "application/jsonlines", b"{}\n" * (SIZE // 3)),
    "cells": ("/models/count/invoke", "text/csv", b"1\n" * (SIZE // 8)),
    "form": (
        "/count",
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="instances"\r\n\r\n[%b]\r\n--b--\r\n'
        % b",".join([b'{"":0}'] * (SIZE // 7)),
    ),
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with starting_daemons() as start:
        files = {"predict.py": PREDICT}
        yield start(files, ROUTES="count:predict:count,hold:predict:hold", DEFAULT_ROUTE="count").wait_ready()


def start_threads(count: int, do: Any) -> list[threading.Thread]:
    """Do it many times at once."""
    threads = [threading.Thread(target=do) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def read_peak(daemon: Daemon) -> int:
    """The most memory, in bytes, that a process of the gateway has held so far."""
    peaks = [0]
    for pid in daemon.children():
        folder = Path(f"/proc/{pid}")
        if b"modelyard.runtime.gateway\0" in (folder / "cmdline").read_bytes():
            found = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
            peaks.append(int(found[1]) * 1024 if found else 0)
    return max(peaks)


def test_probes_are_answered_while_gets_wait_for_a_model(daemon: Daemon) -> None:
    answered = []
    path = "/seldon/hold/predict?json=%7B%22jsonData%22:1%7D"
    threads = start_threads(8, lambda: answered.append(daemon.request("GET", path)[0]))
    try:
        wait_until(lambda: b'in_flight{route="hold"} 8' in daemon.request("GET", "/metrics")[1])
        for probe in (*PROBES, "/metrics", "/routes", "/", "/docs", "/openapi.json"):
            assert daemon.request("GET", probe)[0] == 200
        assert answered == []
    finally:
        (daemon.root / "go").touch()
        for thread in threads:
            thread.join()
    assert answered == [200] * 8


def test_probes_do_not_wait_for_pages(daemon: Daemon) -> None:
    answered = []
    threads = start_threads(60, lambda: answered.append(daemon.request("GET", "/docs")[0]))
    for probe in PROBES:
        assert daemon.request("GET", probe)[0] == 200
    assert len(answered) < 60
    for thread in threads:
        thread.join()
    assert answered == [200] * 60


@pytest.mark.parametrize("kind", BODIES)
def test_what_a_large_body_becomes_takes_nothing_of_the_gateway(daemon: Daemon, kind: str) -> None:
    path, media_type, body = BODIES[kind]
    answered: list[tuple[int, Any]] = []
    headers = {"Content-Type": media_type}
    threads = start_threads(1, lambda: answered.append(daemon.request("POST", path, body, **headers)))
    longest = 0.0
    while any(thread.is_alive() for thread in threads):
        started = time.monotonic()
        assert daemon.request("GET", "/livez")[0] == 200
        longest = max(longest, time.monotonic() - started)
        time.sleep(0.02)
    assert {status for status, _ in answered} <= {200, 400, 413}, answered
    assert longest < 1.0
    assert read_peak(daemon) < 200 << 20
