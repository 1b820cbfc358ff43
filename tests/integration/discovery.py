"""Enough of an API server for `kubectl create --dry-run=client`: it says which kinds there are, and nothing else."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

GROUPS = {
    "": {"v1": ["ConfigMap", "Service", "Secret", "Pod", "Namespace"]},
    "apps": {"v1": ["Deployment"]},
    "batch": {"v1": ["Job", "CronJob"]},
    "policy": {"v1": ["PodDisruptionBudget"]},
    "networking.k8s.io": {"v1": ["NetworkPolicy", "Ingress"]},
    "autoscaling": {"v2": ["HorizontalPodAutoscaler"]},
    "serving.kserve.io": {"v1beta1": ["InferenceService"], "v1alpha1": ["ServingRuntime"]},
    "machinelearning.seldon.io": {"v1": ["SeldonDeployment"]},
    "kubeflow.org": {"v1": ["PyTorchJob"]},
    "trainer.kubeflow.org": {"v1alpha1": ["TrainJob"]},
    "keda.sh": {"v1alpha1": ["ScaledObject"]},
    "monitoring.coreos.com": {"v1": ["ServiceMonitor", "PodMonitor"]},
    "gateway.networking.k8s.io": {"v1": ["HTTPRoute"]},
}


def plural(kind: str) -> str:
    """What a kind is called in a path."""
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}es" if name.endswith("s") else f"{name}s"


def describe_resources(group: str, version: str) -> dict[str, Any]:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    kinds = GROUPS[group][version]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}".lstrip("/"),
        "resources": [
            {
                "name": plural(kind),
                "singularName": kind.lower(),
                "namespaced": kind != "Namespace",
                "kind": kind,
                "verbs": verbs,
            }
            for kind in kinds
        ],
    }


def describe_groups(without: Collection[str] = ()) -> dict[str, Any]:
    """The groups that there are."""

    def version(group: str, name: str) -> dict[str, str]:
        return {"groupVersion": f"{group}/{name}", "version": name}

    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {
                "name": group,
                "versions": [version(group, name) for name in versions],
                "preferredVersion": version(group, next(iter(versions))),
            }
            for group, versions in GROUPS.items()
            if group and group not in without
        ],
    }


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        match parts:
            case ["version"]:
                answer: Any = {"major": "1", "minor": "32", "gitVersion": "v1.32.0"}
            case ["api"]:
                answer = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
            case ["apis"]:
                answer = describe_groups()
            case ["api", version]:
                answer = describe_resources("", version)
            case ["apis", group, version] if version in GROUPS.get(group, {}):
                answer = describe_resources(group, version)
            case _:
                answer = None
        body = json.dumps(answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def running_discovery() -> Iterator[str]:
    """Run it on a free port; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
