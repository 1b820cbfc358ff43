"""Benchmarks say a figure when they have it, and end whatever they have started."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import processes

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COMMANDS = sorted(path for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text())

# A peer that does not stop: it ignores SIGTERM, has a child in its own group and one that has left it.
PEER = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
subprocess.Popen(child)
subprocess.Popen(child, start_new_session=True)
open(sys.argv[1], "w").close()
time.sleep(600)
"""
BENCHMARK = """
import sys, time
from pathlib import Path
from processes import run, run_benchmark, start, stopping

def wait_for(path):
    while not Path(path).exists():
        time.sleep(0.02)

def main():
    peer, ready = sys.argv[1:3]
    start([sys.executable, peer, ready + "-other"])  # which nothing ends but the benchmark's end
    wait_for(ready + "-other")
    with stopping(start([sys.executable, peer, ready]), grace=0.5):
        wait_for(ready)
        print("a figure: 1.0")
        {then}
    print("another figure: 2.0")

run_benchmark(main)
"""


def find_marked(mark: str) -> list[int]:
    """The processes that carry a mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes()
            is_dead = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if mark.encode() in variables and not is_dead:
            found.append(int(folder.name))
    return found


@pytest.fixture
def benchmark(tmp_path):
    """Start a benchmark whose peers do not stop; tell where its process, output and mark are."""
    (tmp_path / "peer.py").write_text(PEER)
    mark = f"TEST_OF_BENCHMARKS={tmp_path}"
    started = []

    def begin(then: str) -> subprocess.Popen[str]:
        (tmp_path / "bench.py").write_text(BENCHMARK.replace("{then}", then))
        handled = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup has everything below it ignore
        process = subprocess.Popen(
            [sys.executable, tmp_path / "bench.py", tmp_path / "peer.py", tmp_path / "ready"],
            env={**os.environ, "PYTHONPATH": str(BENCHMARKS), "TEST_OF_BENCHMARKS": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGHUP, handled)
        started.append(process)
        return process

    yield begin, mark
    for process in started:
        process.kill()
        process.communicate()
    for pid in find_marked(mark):
        os.kill(pid, signal.SIGKILL)


def test_a_peer_that_ignores_sigterm_costs_no_figure_and_leaves_nothing(benchmark):
    begin, mark = benchmark
    process = begin("pass")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.splitlines()) == (0, ["a figure: 1.0", "another figure: 2.0"]), err
    assert "ignored SIGTERM for 0 s: killed" in err
    assert find_marked(mark) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_benchmark_that_is_stopped_has_said_its_figures_and_leaves_nothing(benchmark, number):
    begin, mark = benchmark
    process = begin("time.sleep(600)")
    assert process.stdout is not None
    assert process.stdout.readline() == "a figure: 1.0\n"
    assert len(find_marked(mark)) == 7
    process.send_signal(number)
    time.sleep(0.2)
    process.send_signal(number)  # as an impatient person does
    process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert find_marked(mark) == []


@pytest.mark.parametrize(
    "then", ["raise RuntimeError('broken')", "run([sys.executable, '-c', 'while True: 1'], seconds=1)"]
)
def test_a_benchmark_that_fails_leaves_nothing(benchmark, then):
    begin, mark = benchmark
    process = begin(then)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "a figure: 1.0\n")
    assert "broken" in err or "had not ended after 1 s" in err
    assert find_marked(mark) == []


def test_a_command_that_fails_says_what_it_printed():
    with pytest.raises(SystemExit, match=r"exited with 3:\nwhy\n"):
        processes.run_well([sys.executable, "-c", "import sys; print('why'); sys.exit(3)"])
    assert processes.run_well(["cat"], given=b"in") == "in"


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_every_benchmark_starts_and_ends_its_processes_by_the_one_piece(path):
    text = path.read_text()
    assert "run_benchmark(main)" in text
    assert not re.search(r"subprocess\.(run|Popen|call|check_\w+)\(|os\.system", text)


@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM])
def test_a_test_run_ends_what_its_tests_have_left(tmp_path, number):
    (tmp_path / "peer.py").write_text(PEER)
    (tmp_path / "test_left.py").write_text(f"""
import subprocess, sys, time
from pathlib import Path

def test_that_leaves_something():
    ready = Path({str(tmp_path / "ready")!r})
    subprocess.Popen([sys.executable, {str(tmp_path / "peer.py")!r}, str(ready)], start_new_session=True)
    while not ready.exists():
        time.sleep(0.02)
    time.sleep({0 if number is None else 600})
""")
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", tmp_path, "-p", "tests.conftest"]
    command += ["-p", "no:cacheprovider", tmp_path]
    mark = f"TEST_OF_BENCHMARKS={tmp_path}"
    environ = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent), "TEST_OF_BENCHMARKS": str(tmp_path)}
    environ.pop("PYTEST_XDIST_WORKER", None)
    with subprocess.Popen(
        [*command, "-p", "no:cacheprovider", tmp_path], env=environ, cwd=BENCHMARKS.parent
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if number is not None:
            process.send_signal(number)
        assert process.wait(60) == (0 if number is None else 2)
    assert find_marked(mark) == []
