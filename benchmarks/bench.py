"""The models and servers that `serve.py` measures: trained, started side by side, loaded by wrk."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import Request, urlopen

from applications import ROOT, RUN, lay_out
from processes import run, run_well, start, stopping

PEERS = ROOT / "benchmarks" / "peers"
DATA = ROOT / "projects" / "finance_income_prediction" / "data" / "adult_income-prepped.csv"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard-benchmarks"
UV = Path(sys.executable).with_name("uv")
PACKAGES = {
    "models": ["flask", "gunicorn", "scikit-learn", "pandas", "xgboost-cpu", "catboost"],
    "mlserver": ["mlserver", "uvloop<0.22", "scikit-learn", "pandas", "xgboost-cpu"],
}
CALM = 1.0  # what the last load left in a peer's queue is answered before the next begins
PORTS = {"daemon": 5981, "flask": 5982, "mlserver": 5983, "relay": 5986}
SETTLING = 5.0  # the worker that came first is replaced by a fork


class Bench:
    """Models that are trained, and servers that are started for one model at a time."""

    def __init__(self, folder: Path, *, seconds: int, rounds: int) -> None:
        self.folder = folder
        self.seconds = seconds
        self.rounds = rounds
        self.models = folder / "models"
        self.models.mkdir()
        run_well([python("models"), PEERS / "adult.py", DATA, self.models])
        lines = DATA.read_text().splitlines()[1:201]
        self.rows = [[_value(text) for text in line.split(",")[:-1]] for line in lines]

    def measure(
        self, model: str, peers: Sequence[str], connections: Sequence[int]
    ) -> Iterator[list[dict[str, object]]]:
        """Measure one model behind each peer; the peers run side by side, and are loaded in turns.

        Yields the figures of all peers for one number of connections as soon as they are there.
        """
        asked = [peer for peer in peers if model != "gateway" or peer != "mlserver"]
        with self.servers(asked, model, all_of_them=False) as taking:
            for count in connections:
                runs: dict[str, list[dict[str, float]]] = {peer: [] for peer in taking}
                for _ in range(self.rounds):
                    for peer in taking:
                        time.sleep(CALM)
                        runs[peer].append(self.load(peer, model, count))
                yield [
                    {
                        "model": model,
                        "peer": peer,
                        "connections": count,
                        **{key: median(one[key] for one in found) for key in found[0]},
                    }
                    for peer, found in runs.items()
                ]

    @contextmanager
    def servers(self, peers: Sequence[str], model: str, *, all_of_them: bool = True) -> Iterator[list[str]]:
        """Have the peers serve `model` while inside, or those of them that come to answer; say which do not."""
        with ExitStack() as running:
            for peer in peers:
                running.enter_context(stopping(getattr(self, f"start_{peer}")(model)))
            answering = []
            for peer in peers:
                try:
                    self.wait_until_right(peer, model)
                    answering.append(peer)
                except SystemExit as error:
                    if all_of_them:
                        raise
                    print(f"NOT MEASURED: {error}", file=sys.stderr, flush=True)
            yield answering

    def start_daemon(self, model: str) -> subprocess.Popen[bytes]:
        """Our daemon, with one model."""
        return self.start_daemon_of({"echo": "echo"} if model == "gateway" else {model: model})

    @contextmanager
    def serving(self, functions: Mapping[str, str], *, settles: bool = True) -> Iterator[subprocess.Popen[bytes]]:
        """Have our daemon serve many models while inside."""
        with stopping(self.start_daemon_of(functions)) as process:
            wait_ready(300)
            time.sleep(SETTLING if settles else 0.0)
            yield process

    def run_python(self, code: str, *arguments: str) -> str:
        """What Python code prints in the environment of the models, with as many threads as a worker has."""
        environ = {**os.environ, "BENCHMARK_MODELS": str(self.models), "PYTHONPATH": str(PEERS)}
        command = [python("models"), "-c", code, *arguments]
        return run_well(command, environ=environ)

    def start_daemon_of(self, functions: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Our daemon, as the builder image's run script starts it, with a model for each route."""
        root = Path(tempfile.mkdtemp(prefix="daemon-", dir=self.folder))
        for name in ("adult", "daemon_app"):
            shutil.copy(PEERS / f"{name}.py", root)
        (root / "instances.json").write_text(json.dumps({"instances": self.rows[:5]}))
        models = [{"name": route, "routes": [route], "instances": "instances.json"} for route in functions]
        routes = ",".join(f"{route}:daemon_app:{function}" for route, function in functions.items())
        environ = lay_out(root, models, prefix=CACHE / "models", routes=routes, port=PORTS["daemon"])
        return self.start("daemon", RUN, environ)

    def start_flask(self, model: str) -> subprocess.Popen[bytes]:
        """Plain Flask + gunicorn with two sync workers."""
        command = [CACHE / "models" / "bin" / "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{PORTS['flask']}"]
        return self.start("flask", [*command, "--chdir", PEERS, "flask_app:app"], {})

    def start_mlserver(self, model: str) -> subprocess.Popen[bytes]:
        """MLServer with its adaptive batching."""
        root = self.folder / f"mlserver-{model}"
        root.mkdir()
        settings = {"http_port": PORTS["mlserver"], "grpc_port": 5984, "metrics_port": 5985, "debug": False}
        (root / "settings.json").write_text(json.dumps(settings))
        one = {"name": model, "implementation": "mlserver_app.Pipeline", "max_batch_size": 64, "max_batch_time": 0.005}
        (root / "model-settings.json").write_text(json.dumps(one))
        return self.start(
            "mlserver", [CACHE / "mlserver" / "bin" / "mlserver", "start", root], {"PYTHONPATH": str(PEERS)}
        )

    def start_relay(self, model: str) -> subprocess.Popen[bytes]:
        """A relay that does nothing else, with one model."""
        return self.start("relay", [python("models"), PEERS / "relay.py", model, str(PORTS["relay"])], {})

    def start(self, name: str, command: Sequence[str | Path], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a server in a process group of its own."""
        environ = {**os.environ, "BENCHMARK_MODELS": str(self.models), **environ}
        with (self.folder / f"{name}.log").open("ab") as log:
            return start(command, environ=environ, log=log)

    def target(self, peer: str, model: str) -> tuple[str, list[bytes]]:
        """Where to send a request, and the bodies to send in turn."""
        base = f"http://127.0.0.1:{PORTS[peer]}"
        if peer == "mlserver":
            inputs = [
                {"name": "rows", "shape": [1, 1], "datatype": "BYTES", "data": [json.dumps(row)]} for row in self.rows
            ]
            return f"{base}/v2/models/{model}/infer", [json.dumps({"inputs": [one]}).encode() for one in inputs]
        path = {"daemon": "echo", "flask": "noop"}[peer] if model == "gateway" else model
        return f"{base}/{path}", [json.dumps({"instances": [row]}).encode() for row in self.rows]

    def wait_until_right(self, peer: str, model: str) -> None:
        """Wait for the server's first answer."""
        url, bodies = self.target(peer, model)
        deadline = time.monotonic() + 300
        while True:
            try:
                request = Request(url, bodies[0], {"Content-Type": "application/json"})
                with urlopen(request, timeout=5) as response:
                    response.read()
                return
            except (URLError, OSError) as error:
                if time.monotonic() > deadline:
                    log = (self.folder / f"{peer}.log").read_text()[-2000:]
                    raise SystemExit(f"{peer} does not answer: {error}\n{log}") from None
                time.sleep(0.1)

    def load(self, peer: str, model: str, connections: int, *, seconds: int | None = None) -> dict[str, float]:
        """Have wrk load one server, for as long as it is told to, or as each run takes."""
        url, bodies = self.target(peer, model)
        script = self.folder / "wrk.lua"
        quoted = ",\n".join(f"[==[{body.decode()}]==]" for body in bodies)
        script.write_text(
            f"local bodies = {{{quoted}}}\nlocal n = 0\n"
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            "request = function() n = n % #bodies + 1; return wrk.format(nil, nil, nil, bodies[n]) end\n"
            "done = function(summary, latency)\n"
            '  io.write(string.format("FIGURES %d %d %d %d %d\\n", summary.requests, summary.duration,\n'
            "    latency:percentile(50), latency:percentile(99),\n"
            "    summary.errors.status + summary.errors.timeout + summary.errors.read + summary.errors.connect))\nend\n"
        )
        options = ["-t1", f"-c{connections}", f"-d{seconds or self.seconds}s", "--timeout", "10s", "-s", str(script)]
        said = run_well(["wrk", *options, url], seconds=60 + 10 * (seconds or self.seconds))
        found = re.search(r"FIGURES (\d+) (\d+) (\d+) (\d+) (\d+)", said)
        assert found, said
        requests, duration, p50, p99, errors = map(int, found.groups())
        return {"requests/s": requests / duration * 1e6, "p50 ms": p50 / 1e3, "p99 ms": p99 / 1e3, "errors": errors}


def has_environment(name: str) -> bool:
    """Make the environment once; tell why there is none where it can't be made."""
    ready = CACHE / name / "ready"
    if ready.exists() and ready.read_text() == " ".join(PACKAGES[name]):
        return True
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [UV, "pip", "install", "--quiet", "--python", CACHE / name, *PACKAGES[name]]
    run_well([UV, "venv", "--quiet", "--allow-existing", CACHE / name])
    done = run(command)
    if done.returncode != 0:
        print(f"NOT MEASURED: {name} cannot be installed: {done.stderr[-500:]}", file=sys.stderr)
        return False
    ready.write_text(" ".join(PACKAGES[name]))
    return True


def python(name: str) -> Path:
    """The interpreter of an environment."""
    return CACHE / name / "bin" / "python"


def wait_ready(seconds: float) -> None:
    """Wait until every model of the daemon has loaded."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{PORTS['daemon']}/readyz", timeout=5):
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"the daemon was not ready after {seconds} s")
        time.sleep(0.05)


def _value(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text
