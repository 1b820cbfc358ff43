"""`modelyard deploy` with a real kubectl, against as much of a cluster as it asks."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("kubernetes_validate", reason="not installed here: pip install 'modelyard[kubernetes]'")

from tests.conftest import write_files
from tests.integration.cluster import Cluster, running_cluster

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        shutil.which("kubectl") is None,
        reason="KUBECTL NOT TESTED: it is not installed: apt-get install kubernetes-client",
    ),
]
MODEL = "projects/income/rf"
FILES = {
    "builders/cpu.args": "",
    f"{MODEL}/.s2i/environment": "ROUTES=rf:income.rf.predict:predict\n",
    f"{MODEL}/Makefile": "CONTAINER_NAME = income-rf\n",
    f"{MODEL}/predict.py": "def predict(msg):\n    return {}\n",
}
IMAGE = f"registry.example/income/rf@sha256:{'0' * 64}"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path) -> Run:
    root = tmp_path / "workspace"
    write_files(root, FILES)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": cluster.url}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "namespace": "models", "user": ""}}],
        "current-context": "test",
    }
    (tmp_path / "config").write_text(json.dumps(config))

    def call(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        variables = {"KUBECONFIG": str(tmp_path / "config"), "HOME": str(tmp_path), "NO_PROXY": "*", **environ}
        command = [sys.executable, "-m", "modelyard", *arguments]
        return subprocess.run(
            command, cwd=root, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=120
        )

    return call


def deploy(run: Run, *options: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return run("deploy", MODEL, "--image", IMAGE, *options, **environ)


def test_a_second_deploy_of_the_same_changes_nothing_and_a_smaller_one_removes(run, cluster):
    first = deploy(run, "--host", "a.example")
    assert first.returncode == 0, first.stderr
    assert {line.split()[1] for line in first.stdout.splitlines()} == {"created"}
    assert "Deployment/income-rf is ready" in first.stderr
    assert "ingresses/income-rf" in cluster.names()

    again = deploy(run, "--host", "a.example")
    assert again.returncode == 0, again.stderr
    assert {line.split()[1] for line in again.stdout.splitlines()} == {"unchanged"}

    rehearsed = deploy(run, "-eA=1", "--dry-run")
    assert "ConfigMap/income-rf-settings configured" in rehearsed.stdout
    assert '+  A: "1"' in rehearsed.stdout
    assert "Ingress/income-rf removed" in rehearsed.stdout
    assert "ingresses/income-rf" in cluster.names()

    smaller = deploy(run, "-eA=1")
    assert "Ingress/income-rf removed" in smaller.stdout
    assert "ingresses/income-rf" not in cluster.names()

    gone = run("undeploy", "income-rf")
    assert gone.returncode == 0, gone.stderr
    assert cluster.names() == ["namespaces/models"]
    nothing = run("undeploy", "income-rf")
    assert nothing.returncode == 7
    assert "nothing called income-rf was deployed in the namespace models" in nothing.stderr


def test_what_somebody_else_made_under_the_same_name_stays(run, cluster):
    assert deploy(run, "--host", "a.example").returncode == 0
    cluster.objects["ingresses", "models", "income-rf"]["metadata"]["uid"] = "of somebody else"
    assert deploy(run).returncode == 0
    assert "ingresses/income-rf" in cluster.names()


def test_a_rollout_that_never_becomes_ready_says_the_cause(run, cluster):
    cluster.ready = False
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    status = {"containerStatuses": [{"name": "daemon", "image": IMAGE, "ready": False, "state": {"waiting": waiting}}]}
    cluster.pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "income-rf-1"}, "status": status}]
    done = deploy(run, "--timeout", "2")
    assert done.returncode == 6
    assert f"Deployment/income-rf: {IMAGE} can't be pulled: Back-off pulling image" in done.stderr
    assert "--pull-secret" in done.stderr


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            (
                403,
                "Forbidden",
                'deployments.apps "income-rf" is forbidden: User "dev" cannot patch resource "deployments" in API '
                'group "apps" in the namespace "models"',
            ),
            "dev has no right to patch deployments.apps in the namespace models",
        ),
        (
            (
                403,
                "Forbidden",
                'deployments.apps "a" is forbidden: exceeded quota: small, requested: count/deployments.apps=1, used: '
                "count/deployments.apps=5, limited: count/deployments.apps=5",
            ),
            "the quota small does not allow it",
        ),
        (
            (409, "Conflict", 'Apply failed with 1 conflict: conflict with "hpa" using apps/v1: .spec.replicas'),
            "hpa manages .spec.replicas as well",
        ),
    ],
)
def test_what_is_refused_is_known_before_anything_is_applied(run, cluster, refusal, said):
    cluster.refusals["deployments"] = refusal
    done = deploy(run)
    assert done.returncode == 7, done.stderr
    assert said in done.stderr
    assert cluster.names() == ["namespaces/models"]


def test_fields_of_another_manager_are_taken_over_only_by_force(run, cluster):
    cluster.refusals["deployments"] = (
        409,
        "Conflict",
        'Apply failed with 1 conflict: conflict with "hpa": .spec.replicas',
    )
    assert deploy(run).returncode == 7
    assert deploy(run, "--force-conflicts").returncode == 0


def test_where_to_deploy_has_to_be_there(run, tmp_path):
    missing = deploy(run, "-n", "nowhere")
    assert missing.returncode == 7
    assert (
        "the namespace nowhere is not there" in missing.stderr and "kubectl create namespace nowhere" in missing.stderr
    )
    unknown = deploy(run, "--context", "prod")
    assert unknown.returncode == 7
    assert "there is no context prod" in unknown.stderr
    unreachable = deploy(run, KUBECONFIG=str(tmp_path / "none"))
    assert unreachable.returncode == 7
    assert "the cluster can't be reached" in unreachable.stderr
    without = deploy(run, PATH=str(tmp_path))
    assert without.returncode == 7
    assert "kubectl is not on PATH" in without.stderr


def test_a_kind_that_the_cluster_has_not_is_named(run, cluster):
    cluster.missing.add("keda.sh")
    done = deploy(run, "--max-replicas", "3", "--prometheus", "http://p")
    assert done.returncode == 7
    assert "this cluster has no ScaledObject (keda.sh/v1alpha1)" in done.stderr
