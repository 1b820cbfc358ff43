"""Manifests played: what a cluster would do with them, as far as that needs no cluster."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes_validate", reason="not installed here: pip install 'modelyard[kubernetes]'")

import yaml

from modelyard.codegen.seldon_package import write_package
from modelyard.commands.manifests import ManifestRequest, measured_path, render
from modelyard.commands.measuring import measure_daemon
from modelyard.commands.pinning import ImageChoice
from modelyard.engines.oci.address import parse_address
from modelyard.engines.oci.connection import Connection
from modelyard.engines.oci.layout import Layout
from modelyard.engines.oci.registry import Registry
from modelyard.engines.oci.transfer import push
from modelyard.errors import EndpointError, InputError
from modelyard.workspace import Workspace
from tests.conftest import write_files
from tests.integration.daemons import Daemon, StartDaemon, starting_daemons, wait_until
from tests.integration.discovery import running_discovery
from tests.integration.registries import running_registry
from tests.integration.test_registries import make_image
from tests.integration.tiny_workspace import free_port

pytestmark = pytest.mark.integration
MODEL = "projects/income/rf"
PREDICT = """\
import os


def predict(msg):
    return {"predictions": [sum(row) for row in msg.payload["instances"]]}
"""
INSTANCES = {"instances": [[1.0, 2.0], [3.0, 4.5]]}
FILES = {
    "builders/cpu.args": "",
    f"{MODEL}/.s2i/environment": "ROUTES=rf:income.rf.predict:predict\n",
    f"{MODEL}/Makefile": "MODEL_NAME = income_rf\nCONTAINER_NAME = income-rf\n",
    f"{MODEL}/predict.py": PREDICT,
    f"{MODEL}/test/test_instances.json": json.dumps(INSTANCES),
}
IMAGE = f"registry.example/income/rf@sha256:{'0' * 64}"
# What is staged of them, as an image has it.
APPLICATION = {
    "income/__init__.py": "",
    "income/rf/__init__.py": "",
    "income/rf/predict.py": PREDICT,
    "income/rf/test/test_instances.json": json.dumps(INSTANCES),
    ".s2i/application.json": json.dumps(
        {
            "schema": 1,
            "name": "income/rf",
            "kind": "predict",
            "models": [
                {
                    "name": "income/rf",
                    "path": "income/rf",
                    "environment": "default",
                    "routes": ["rf"],
                    "instances": "income/rf/test/test_instances.json",
                }
            ],
        }
    ),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "workspace"
    write_files(root, FILES)
    return Workspace(root)


@pytest.fixture(scope="module")
def start() -> Iterator[StartDaemon]:
    with starting_daemons() as start:
        yield start


def request(workspace: Workspace, kind: str, **options: Any) -> ManifestRequest:
    model = workspace.model_directory(workspace.root / MODEL)
    return ManifestRequest(
        workspace=workspace, subjects=[model], kind=kind, **{"image": ImageChoice(image=IMAGE), **options}
    )


def container_of(manifests: "tuple[dict[str, Any], ...]") -> tuple[dict[str, Any], dict[str, str]]:
    """The container that serves, and its variables: those of the ConfigMap as well."""
    kinds = {one["kind"]: one for one in manifests}
    if "SeldonDeployment" in kinds:
        spec = kinds["SeldonDeployment"]["spec"]["predictors"][0]["componentSpecs"][0]["spec"]
    elif "InferenceService" in kinds:
        spec = kinds["InferenceService"]["spec"]["predictor"]
    else:
        spec = kinds["Deployment"]["spec"]["template"]["spec"]
    container = spec["containers"][0]
    named = {one["name"]: one["value"] for one in container.get("env", [])}
    return container, {**kinds.get("ConfigMap", {}).get("data", {}), **named}


def play(start: StartDaemon, container: Mapping[str, Any], variables: Mapping[str, str], **operators: str) -> Daemon:
    """Start what a kubelet would: the container's variables, those that an operator adds, and no PORT of ours."""
    return start(APPLICATION, **{"ROUTES": "rf:income.rf.predict:predict", "PORT": "", **variables, **operators})


def is_200(daemon: Daemon, probe: Mapping[str, Any]) -> bool:
    return daemon.request("GET", probe["httpGet"]["path"])[0] == 200


def test_three_deployments_of_one_model_answer_the_same(workspace, start):
    daemons = {}
    for kind in ("deployment", "kserve", "seldon"):
        container, variables = container_of(render(request(workspace, kind), {}).manifests)
        port = str(free_port())
        # A Deployment's port is fixed, which a machine with several daemons can't have; Knative, and Seldon's
        # operator, say theirs by these variables.
        operators = {
            "deployment": {"PORT": port},
            "kserve": {"PORT": port},
            "seldon": {
                "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": port,
                "PREDICTIVE_UNIT_ID": container["name"],
                "PREDICTIVE_UNIT_IMAGE": container["image"],
                "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": str(free_port()),
                "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus",
                "PREDICTOR_ID": "default",
                "SELDON_DEPLOYMENT_ID": "income-rf",
            },
        }
        daemon = play(start, container, variables, **operators[kind])
        assert daemon.port == int(port)
        daemons[kind] = (daemon, container)
    for daemon, container in daemons.values():
        wait_until(lambda daemon=daemon, container=container: is_200(daemon, container["startupProbe"]))
        assert is_200(daemon, container["readinessProbe"]) and is_200(daemon, container["livenessProbe"])
    answers = set()
    for daemon, _ in daemons.values():
        body = json.dumps(INSTANCES).encode()
        message = json.dumps({"jsonData": INSTANCES}).encode()
        tensor = {"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1.0, 2.0, 3.0, 4.5]}
        _, own = daemon.request("POST", "/rf", body)
        _, first = daemon.request("POST", "/v1/models/rf:predict", body)
        _, second = daemon.request("POST", "/v2/models/rf/infer", json.dumps({"inputs": [tensor]}).encode())
        _, seldon = daemon.request("POST", "/api/v1.0/predictions", message)
        answers |= {
            json.dumps(own["predictions"]),
            json.dumps(first["predictions"]),
            json.dumps(second["outputs"][0]["data"]),
            json.dumps(seldon["jsonData"]["predictions"]),
        }
    assert answers == {"[3.0, 7.5]"}


def test_seldon_asks_for_metrics_at_its_own_port_and_path(start):
    port, metrics = free_port(), free_port()
    daemon = start(
        APPLICATION,
        ROUTES="rf:income.rf.predict:predict",
        PORT="",
        PREDICTIVE_UNIT_SERVICE_PORT=str(port),
        PREDICTIVE_UNIT_METRICS_SERVICE_PORT=str(metrics),
        PREDICTIVE_UNIT_METRICS_ENDPOINT="/prometheus",
    ).wait_ready()
    assert daemon.post("rf", INSTANCES)[0] == 200
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{metrics}/prometheus", timeout=10) as answer:
        text = answer.read().decode()
    assert 'modelyard_requests_total{route="rf",status="200"}' in text
    assert daemon.request("GET", "/metrics")[0] == 200
    assert daemon.stop() == 0


def test_what_a_daemon_tells_becomes_the_probes_and_the_memory(workspace, start):
    daemon = play(start, {}, {}, PORT="0").wait_ready()
    asked = request(workspace, "deployment")
    measured = measure_daemon(asked.subjects[0], f"http://127.0.0.1:{daemon.port}")
    assert set(measured.load_seconds) == {"income/rf"}
    assert measured.memory_bytes is not None and measured.memory_bytes > 10_000_000
    rendered = render(asked, {})
    assert rendered.notes == ()
    container, variables = container_of(rendered.manifests)
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 60
    assert container["resources"]["limits"]["memory"].endswith("Mi")
    assert variables["WORKERS"] == "1"


def test_only_what_serves_the_same_can_be_measured(workspace, start):
    other = start({"predict.py": "def predict(msg):\n    return 1\n"}, ROUTES="x:predict:predict").wait_ready()
    subject = request(workspace, "deployment").subjects[0]
    with pytest.raises(InputError, match=r"serves .*, not income/rf"):
        measure_daemon(subject, f"127.0.0.1:{other.port}")
    with pytest.raises(EndpointError, match="no answer"):
        measure_daemon(subject, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(InputError, match="no address of a daemon"):
        measure_daemon(subject, "https://127.0.0.1")
    assert not measured_path(subject).exists()


def test_a_tag_is_written_as_the_digest_that_it_names_now(workspace, tmp_path):
    with running_registry(tmp_path / "registry") as host:
        layout, connection = Layout(tmp_path / "layout"), Connection(os.environ)
        tag = f"{host}/income/income-rf-predict:v1"
        push(layout, make_image(layout, tmp_path, size=1000), Registry(connection), parse_address(tag))
        digest = Registry(connection).find_manifest(parse_address(tag))
        connection.close()
        choice = ImageChoice(registry=f"{host}/income", tag="v1")
        container, _ = container_of(render(request(workspace, "deployment", image=choice), os.environ).manifests)
        assert container["image"] == f"{host}/income/income-rf-predict@{digest}"
        with pytest.raises(InputError, match=f"income/rf: there is no {host}/income/income-rf-predict:v2"):
            render(request(workspace, "deployment", image=ImageChoice(registry=f"{host}/income", tag="v2")), os.environ)


@pytest.fixture
def kubectl() -> str:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("KUBECTL NOT TESTED: it is not installed: apt-get install kubernetes-client")
    return program


def run(workspace: Workspace, *arguments: str, path: str | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "modelyard", "manifests", *arguments]
    environ = {**os.environ, **({"PATH": path} if path is not None else {})}
    return subprocess.run(command, cwd=workspace.root, env=environ, capture_output=True, text=True, check=False)


def kustomize(kubectl: str, folder: Path) -> "list[dict[str, Any]]":
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def test_kustomize_reads_every_value_as_it_is(workspace, kubectl, tmp_path):
    traps = {"A": "no", "B": "1e3", "C": "0777", "D": "12:30:45", "E": "", "F": "~", "G": "a: b #c", "H": "1_000"}
    variables = [f"-e{name}={value}" for name, value in traps.items()]
    done = run(workspace, MODEL, "--image", IMAGE, *variables, "-o", str(tmp_path / "out"), "--kustomize")
    assert done.returncode == 0, done.stderr
    objects = kustomize(kubectl, tmp_path / "out/overlays/production")
    settings = next(one for one in objects if one["kind"] == "ConfigMap")
    assert {name: settings["data"][name] for name in traps} == traps


def test_an_overlay_is_the_users_and_a_typo_in_it_is_found(workspace, kubectl, tmp_path):
    out = tmp_path / "out"
    assert run(workspace, MODEL, "--image", IMAGE, "-o", str(out), "--kustomize").returncode == 0
    overlay = out / "overlays/production/kustomization.yaml"
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "income-rf"},
        "spec": {"minReadySecond": 5},
    }
    text = overlay.read_text() + yaml.dump({"patches": [{"patch": yaml.dump(patch)}]})
    overlay.write_text(text)
    assert run(workspace, MODEL, "--image", IMAGE, "-o", str(out), "--kustomize").returncode == 0
    assert overlay.read_text() == text
    done = run(workspace, "--check", str(overlay.parent))
    assert done.returncode == 3
    assert "spec.minReadySecond: there is no such field; did you mean minReadySeconds?" in done.stderr
    overlay.write_text(text.replace("minReadySecond", "minReadySeconds"))
    done = run(workspace, "--check", str(overlay.parent), "--check", str(out / "base"))
    assert done.returncode == 0, done.stderr
    without = run(workspace, "--check", str(overlay.parent), path=str(tmp_path))
    assert without.returncode == 7
    assert "kubectl is not on PATH" in without.stderr


def test_what_kustomize_refuses_is_told_in_its_words(workspace, kubectl, tmp_path):
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    done = run(workspace, "--check", str(tmp_path))
    assert done.returncode == 3
    assert "missing.yaml" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        *(("--kind", "deployment", "--host", "a.example", "--monitor", "service", "--max-replicas", "3"),),
        *(("--kind", "deployment", "--models", "s3://a/b/", "--tokens", "t", "--prometheus", "http://p"),),
        *(("--kind", kind) for kind in ("kserve", "seldon")),
        *(("--kind", kind, "--models", "pvc:a") for kind in ("job", "pytorchjob", "trainjob", "indexed-job")),
        ("--kind", "cronjob", "--models", "pvc:a", "--schedule", "0 3 * * *"),
    ],
    ids=lambda options: f"{options[1]} {len(options)}",
)
def test_kubectl_understands_what_was_meant(workspace, kubectl, tmp_path, options):
    write_files(workspace.root, {f"{MODEL}/.s2i/environment": "ROUTES=rf:income.rf.predict:predict\nTRAIN_MODULE=t\n"})
    more = ("--max-replicas", "4") if "--prometheus" in options else ()
    traps = ("-eA=no", "-eB=1e3", "-eC=0777")
    done = run(workspace, MODEL, "--image", IMAGE, *options, *more, *traps, "-o", str(tmp_path / "all.yaml"))
    assert done.returncode == 0, done.stderr
    with running_discovery() as url:
        command = [kubectl, "--server", url, "create", "--dry-run=client", "--validate=false", "-o", "json", "-f"]
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_PROXY": "*"}
        told = subprocess.run(
            [*command, tmp_path / "all.yaml"], env=environ, capture_output=True, text=True, check=False
        )
    assert told.returncode == 0, told.stderr
    decoder, text, understood = json.JSONDecoder(), told.stdout.strip(), []
    while text:
        one, end = decoder.raw_decode(text)
        understood += one["items"] if one["kind"] == "List" else [one]
        text = text[end:].strip()
    meant = list(yaml.safe_load_all((tmp_path / "all.yaml").read_text()))
    for one in understood:
        if one["metadata"].get("namespace") == "default":
            del one["metadata"]["namespace"]
    assert understood == meant


def test_the_seldon_package_serves_a_picture_as_it_stands(start, tmp_path):
    """What `seldon init-package` writes, with one line of a model, as its image would have it."""
    pytest.importorskip("numpy", reason="not installed here: pip install 'modelyard[dev]'")
    for _ in write_package(tmp_path):
        pass
    files = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    files["preprocessing.py"] = (
        "import numpy as np\n\n\ndef prepare(X):\n    return np.frombuffer(X, dtype=np.uint8)[None, :4] / 255\n"
    )
    (route,) = files.pop(".s2i/environment").splitlines()
    daemon = start(files, ROUTES=route.removeprefix("ROUTES=")).wait_ready()
    edge = "edge"
    picture = bytes([0, 51, 102, 255, 9])
    body = (
        f'--{edge}\r\nContent-Disposition: form-data; name="binData"; filename="a.jpg"\r\n\r\n'.encode()
        + picture
        + f"\r\n--{edge}--\r\n".encode()
    )
    for path in ("/predict", "/api/v1.0/predictions"):
        status, answer = daemon.request("POST", path, body, **{"Content-Type": f"multipart/form-data; boundary={edge}"})
        assert status == 200, answer
        assert answer["data"]["tensor"] == {"shape": [1, 4], "values": [0.0, 0.2, 0.4, 1.0]}
    feedback = b'{"request": {"data": {"ndarray": [[1]]}}, "reward": 1}'
    assert daemon.request("POST", "/send-feedback", feedback)[0] == 200
