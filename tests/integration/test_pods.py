"""A Deployment's pod, played with Docker as a kubelet would run it: image, commands, user, privileges, mounts."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes_validate", reason="not installed here: pip install 'modelyard[kubernetes]'")
boto3 = pytest.importorskip("boto3", reason="boto3 is not installed here: pip install 'modelyard[s3]'")
server = pytest.importorskip("moto.server", reason="moto is not installed here: pip install 'modelyard[dev]'")

from modelyard.commands.manifests import ManifestRequest, render  # noqa: E402
from modelyard.commands.pinning import ImageChoice  # noqa: E402
from modelyard.context.staging import stage_model  # noqa: E402
from modelyard.engines.docker import DockerEngine  # noqa: E402
from tests.integration.test_docker import run_container, wait_until_answers  # noqa: E402
from tests.integration.tiny_workspace import free_port  # noqa: E402

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore", "ignore::DeprecationWarning:moto"),
]
ENGINE = "docker"
MODEL = "projects/income/rf"
PREDICT = """\
from pathlib import Path


def predict(msg):
    return {"models": sorted(path.read_text() for path in Path("models").iterdir())}
"""
FILES = {
    f"{MODEL}/.s2i/environment": "ROUTES=rf:income.rf.predict:predict\n",
    f"{MODEL}/predict.py": PREDICT,
    f"{MODEL}/test/test_instances.json": '{"instances": []}\n',
}
ANY_USER = "54321:0"


@pytest.fixture
def engine_name() -> str:
    return ENGINE


@pytest.fixture
def store() -> Iterator[dict[str, str]]:
    """A store with a model, and the variables that a secret would have."""
    running = server.ThreadedMotoServer(port=0)
    running.start()
    _, port = running.get_host_and_port()
    secret = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    client = boto3.client(
        "s3",
        endpoint_url=secret["AWS_ENDPOINT_URL"],
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="models")
    client.put_object(Bucket="models", Key="income/rf.bin", Body=b"weights")
    yield secret
    running.stop()


def host_config(container: dict[str, Any], volumes: dict[str, Path]) -> dict[str, Any]:
    """What the restricted level comes to in Docker's words, and the pod's mounts."""
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    mounts = {one["name"]: one for one in container["volumeMounts"]}
    assert mounts.pop("tmp")["mountPath"] == "/tmp"
    binds = [
        f"{volumes[name]}:{one['mountPath']}:{'ro' if one.get('readOnly') else 'rw'}" for name, one in mounts.items()
    ]
    return {
        "read_only": security["readOnlyRootFilesystem"],
        "cap_drop": security["capabilities"]["drop"],
        "security_opt": ["no-new-privileges"],
        "tmpfs": {"/tmp": ""},
        "network_mode": "host",
        "binds": binds,
    }


def variables_of(container: dict[str, Any], secret: dict[str, str]) -> dict[str, str]:
    found = {}
    for one in container.get("env", []):
        key = one.get("valueFrom", {}).get("secretKeyRef", {}).get("key")
        if key is None:
            found[one["name"]] = one["value"]
        elif key in secret:
            found[one["name"]] = secret[key]
    return found


def test_a_pod_gets_its_models_and_serves_them_as_any_user(engine, make_workspace, tmp_path, store):
    assert isinstance(engine, DockerEngine)
    workspace = make_workspace(FILES)
    model = workspace.model_directory(workspace.root / MODEL)
    image = engine.build(stage_model(workspace, model, "predict", tmp_path / "context"), tag="income-rf")
    asked = ManifestRequest(
        workspace=workspace,
        subjects=[model],
        kind="deployment",
        image=ImageChoice(image=f"registry.example/rf@sha256:{'0' * 64}"),
        models="s3://models/income/",
        models_secret="aws",
    )
    objects = {one["kind"]: one for one in render(asked, os.environ).manifests}
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    volumes = {"models": tmp_path / "models"}
    volumes["models"].mkdir()
    volumes["models"].chmod(0o777)  # an emptyDir is everybody's

    (init,), (daemon,) = pod["initContainers"], pod["containers"]
    options = {"user": ANY_USER, "environment": variables_of(init, store), "host": host_config(init, volumes)}
    code, output = run_container(engine, image.id, command=[*init["command"], *init["args"]], **options)
    assert code == 0, output
    assert (volumes["models"] / "rf.bin").read_bytes() == b"weights"

    port, api = free_port(), engine.client.api
    container = api.create_container(
        f"sha256:{image.id}",
        user=ANY_USER,
        environment={**objects["ConfigMap"]["data"], **variables_of(daemon, {}), "PORT": str(port)},
        host_config=api.create_host_config(**host_config(daemon, volumes)),
    )["Id"]
    try:
        api.start(container)
        wait_until_answers(f"http://127.0.0.1:{port}{daemon['startupProbe']['httpGet']['path']}")
        for probe in ("readinessProbe", "livenessProbe"):
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}{daemon[probe]['httpGet']['path']}", timeout=10
            ) as one:
                assert one.status == 200
        request = urllib.request.Request(f"http://127.0.0.1:{port}/rf", data=b'{"instances": []}')
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer) == {"models": ["weights"]}
        waiting = api.exec_create(container, [daemon["lifecycle"]["preStop"]["exec"]["command"][0], "0"])
        api.exec_start(waiting["Id"])
        assert api.exec_inspect(waiting["Id"])["ExitCode"] == 0
        api.stop(container, timeout=pod["terminationGracePeriodSeconds"])
        assert api.inspect_container(container)["State"]["ExitCode"] == 0
    finally:
        api.remove_container(container, force=True)
