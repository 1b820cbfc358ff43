import os
import re
from pathlib import Path

import pytest

from modelyard.runtime.application import Application, Model
from modelyard.runtime.daemon.counters import WorkerCounts, counts_path
from modelyard.runtime.daemon.status import ModelStatus, socket_path
from modelyard.runtime.gateway.metrics import Metrics

GONE = 2**22 + 1  # no process: larger than any pid
APPLICATION = Application(
    name="income/all", kind="predict", models=(Model(name="m", routes=("b", "a")), Model(name='n"x', routes=("c",)))
)
LINE = re.compile(r'[a-z_]+(\{[a-z]+="([^"\\\n]|\\.)*"(,[a-z]+="([^"\\\n]|\\.)*")*\})? [0-9.e+-]+|# (HELP|TYPE) .+')


def make_metrics(folder: Path, pid: int, monkeypatch: pytest.MonkeyPatch) -> Metrics:
    """The metrics of a gateway process with that id."""
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: pid)
        return Metrics(APPLICATION, folder)


def test_the_page_adds_up_gateway_processes_dead_ones_included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid, seconds in ((GONE, 0.0001), (os.getpid(), 100.0)):
        metrics = make_metrics(tmp_path, pid, monkeypatch)
        metrics.begin("b")
        metrics.end("b", 200, seconds)
    lines = metrics.render([]).splitlines()
    assert 'modelyard_requests_total{route="b",status="200"} 2' in lines
    assert 'modelyard_request_seconds_bucket{route="b",le="0.001"} 1' in lines
    assert 'modelyard_request_seconds_bucket{route="b",le="10.0"} 1' in lines
    assert 'modelyard_request_seconds_bucket{route="b",le="+Inf"} 2' in lines
    assert 'modelyard_request_seconds_sum{route="b"} 100.000100' in lines


def test_a_process_that_gets_the_id_of_a_dead_one_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        metrics = make_metrics(tmp_path, os.getpid(), monkeypatch)
        metrics.begin("a")
        metrics.end("a", 200, 0.1)
    assert 'modelyard_requests_total{route="a",status="200"} 2' in metrics.render([])


def test_requests_in_flight_of_a_dead_process_are_in_flight_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_metrics(tmp_path, GONE, monkeypatch).begin("a")
    metrics = make_metrics(tmp_path, os.getpid(), monkeypatch)
    metrics.begin("a")
    assert 'modelyard_requests_in_flight{route="a"} 1' in metrics.render([]).splitlines()
    metrics.end("a", 200, 0.1)
    assert 'modelyard_requests_in_flight{route="a"} 0' in metrics.render([]).splitlines()


def test_errors_are_counted_by_cause(tmp_path: Path) -> None:
    metrics = Metrics(APPLICATION, tmp_path)
    for status, cause in ((503, "not_ready"), (503, "overload"), (409, "refused")):
        metrics.begin("a")
        metrics.end("a", status, 0.1, cause=cause)
    lines = metrics.render([]).splitlines()
    assert 'modelyard_request_errors_total{route="a",cause="not_ready"} 1' in lines
    assert 'modelyard_request_errors_total{route="a",cause="overload"} 1' in lines
    assert 'modelyard_requests_total{route="a",status="503"} 2' in lines
    assert 'modelyard_requests_total{route="a",status="other"} 1' in lines


def test_what_the_workers_count_is_added_up_by_model(tmp_path: Path) -> None:
    first = socket_path(tmp_path, 0)
    for path in (first, first.with_name("w0-1.sock")):
        counts = WorkerCounts(counts_path(path), ("b", "a"))
        counts.count_call("a", 3, 0.002)
        counts.show_waiting(5)
    lines = Metrics(APPLICATION, tmp_path).render([]).splitlines()
    assert 'modelyard_batch_size_bucket{route="a",le="2"} 0' in lines
    assert 'modelyard_batch_size_bucket{route="a",le="4"} 2' in lines
    assert 'modelyard_batch_size_sum{route="a"} 6.000000' in lines
    assert 'modelyard_call_seconds_count{route="a"} 2' in lines
    assert 'modelyard_call_seconds_count{route="b"} 0' in lines
    assert 'modelyard_queue_depth{model="m"} 10' in lines
    assert 'modelyard_queue_depth{model="n\\"x"} 0' in lines


def test_a_worker_that_is_started_again_counts_on_and_nothing_waits_for_it(tmp_path: Path) -> None:
    path = counts_path(socket_path(tmp_path, 0))
    WorkerCounts(path, ("b", "a")).count_call("a", 1, 0.1)
    WorkerCounts(path, ("b", "a")).show_waiting(7)
    WorkerCounts(path, ("b", "a")).count_call("a", 1, 0.1)
    lines = Metrics(APPLICATION, tmp_path).render([]).splitlines()
    assert 'modelyard_batch_size_count{route="a"} 2' in lines
    assert 'modelyard_queue_depth{model="m"} 0' in lines


def test_files_of_other_routes_count_for_nothing(tmp_path: Path) -> None:
    other = Metrics(Application(name="x", kind="predict", models=(Model(name="m", routes=("a",)),)), tmp_path)
    other.begin("a")
    other.end("a", 200, 0.1)
    assert 'modelyard_requests_total{route="a",status="200"} 1' in other.render([])
    assert "modelyard_requests_total{" not in Metrics(APPLICATION, tmp_path).render([])


def test_models_show_readiness_restarts_and_memory(tmp_path: Path) -> None:
    statuses = [
        ModelStatus(name="m", state="ready", pids=[os.getpid()] * 2, restarts=2, reloads=3, load_seconds=1.5),
        ModelStatus(name='n"x', state="failed", pids=[GONE]),
    ]
    page = Metrics(APPLICATION, tmp_path).render(statuses)
    assert 'modelyard_model_ready{model="m"} 1' in page
    assert 'modelyard_model_ready{model="n\\"x"} 0' in page
    assert 'modelyard_worker_restarts_total{model="m"} 2' in page
    assert 'modelyard_model_reloads_total{model="m",outcome="swapped"} 3' in page
    assert 'modelyard_model_load_seconds{model="m"} 1.5' in page
    assert 'process="worker",model="n' not in page
    if Path("/proc/self/statm").exists():
        found = re.search(r'modelyard_resident_memory_bytes\{process="worker",model="m"\} (\d+)', page)
        assert found
        assert 5e6 < int(found[1]) < 5e10
        assert 'modelyard_resident_memory_bytes{process="gateway"}' in page


def test_every_line_is_what_prometheus_reads(tmp_path: Path) -> None:
    metrics = Metrics(APPLICATION, tmp_path)
    metrics.begin("a")
    metrics.end("a", 418, 1e-7, cause="refused")
    lines = metrics.render([ModelStatus(name='n"x', pids=[os.getpid()], load_seconds=0.25)]).splitlines()
    assert not [line for line in lines if not LINE.fullmatch(line)]
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="macOS reserves no disk")
def test_counts_have_their_place_on_the_disk_before_it_is_full(tmp_path: Path) -> None:
    WorkerCounts(tmp_path / "w0.counts", [f"route-{number}" for number in range(200)])
    status = (tmp_path / "w0.counts").stat()
    assert status.st_blocks * 512 >= status.st_size > 8192
