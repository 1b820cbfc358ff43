"""As much of an API server as `kubectl apply --server-side` asks, with its state in memory.

No cluster runs on the machines that test this: what stands here is what the API's documentation says that one answers
(https://kubernetes.io/docs/reference/using-api/server-side-apply/). The kubectl is a real one.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.integration.discovery import GROUPS, describe_groups, describe_resources

Object = dict[str, Any]


class Cluster:
    """What is there, and what is refused."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.refusals: dict[str, tuple[int, str, str]] = {}
        """By plural: the status, the reason and the message of whoever changes one."""
        self.ready = True
        """Whether Deployments become so."""
        self.pods: list[Object] = []
        self.missing: set[str] = set()
        """Groups that it has not."""
        self.url = ""
        self.ended = Event()

    def names(self) -> list[str]:
        """`deployments/income-rf` of everything there is."""
        return sorted(f"{resource}/{name}" for resource, _, name in self.objects)

    def put(self, key: tuple[str, str, str], wanted: Object, *, dry_run: bool) -> Object:
        """Apply an object: what is said replaces what was said before."""
        before = self.objects.get(key)
        kept = {"uid": secrets.token_hex(8), "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}
        if before is not None:
            kept = {name: before["metadata"][name] for name in kept}
        metadata = {**wanted["metadata"], "namespace": key[1], **kept}
        after = {**wanted, "metadata": metadata}
        said = {name: value for name, value in (before or {}).items() if name != "status"}
        said = {**said, "metadata": {k: v for k, v in said.get("metadata", {}).items() if k != "resourceVersion"}}
        if before is None or said != after:
            metadata["resourceVersion"] = str(len(self.objects) + secrets.randbelow(10**6))
        else:
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
        if key[0] == "deployments":
            count = 1 if self.ready else 0
            after["status"] = {
                "observedGeneration": 1,
                "replicas": 1,
                "updatedReplicas": 1,
                "readyReplicas": count,
                "availableReplicas": count,
            }
        if not dry_run:
            self.objects[key] = after
        return after


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        parts, query = url.path.strip("/").split("/"), parse_qs(url.query)
        match parts:
            case ["version"]:
                return self._answer({"major": "1", "minor": "32", "gitVersion": "v1.32.0"})
            case ["api"]:
                return self._answer({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
            case ["apis"]:
                return self._answer(describe_groups(self.cluster.missing))
            case ["api", version]:
                return self._answer(describe_resources("", version))
            case ["apis", group, version] if version in GROUPS.get(group, {}) and group not in self.cluster.missing:
                return self._answer(describe_resources(group, version))
            case [*_, "namespaces", name] if len(parts) == 4:
                return self._found(self.cluster.objects.get(("namespaces", "", name)), "namespaces", name)
            case [*_, "namespaces", _, "pods"]:
                return self._answer({"kind": "PodList", "apiVersion": "v1", "items": self.cluster.pods, "metadata": {}})
            case [*_, "namespaces", namespace, resource]:
                return self._list(namespace, resource, query)
            case [*_, "namespaces", namespace, resource, name]:
                return self._found(self.cluster.objects.get((resource, namespace, name)), resource, name)
        return self._refuse(404, "NotFound", "the server could not find the requested resource")

    def do_PATCH(self) -> None:
        url = urlsplit(self.path)
        query, body = parse_qs(url.query), self.rfile.read(int(self.headers["Content-Length"]))
        *_, namespace, resource, name = url.path.strip("/").split("/")
        assert self.headers["Content-Type"] == "application/apply-patch+yaml"
        assert query["fieldManager"] == ["modelyard"]
        if ("namespaces", "", namespace) not in self.cluster.objects:
            return self._refuse(404, "NotFound", f'namespaces "{namespace}" not found')
        refusal = self.cluster.refusals.get(resource)
        if refusal and not (refusal[0] == 409 and query.get("force") == ["true"]):
            return self._refuse(*refusal)
        after = self.cluster.put((resource, namespace, name), json.loads(body), dry_run="dryRun" in query)
        self._answer(after)

    def do_DELETE(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        *_, namespace, resource, name = urlsplit(self.path).path.strip("/").split("/")
        gone = self.cluster.objects.pop((resource, namespace, name), None)
        self._found(gone, resource, name)

    def _list(self, namespace: str, resource: str, query: dict[str, list[str]]) -> None:
        """The objects of a kind; whoever watches is told nothing more."""
        if query.get("watch"):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.cluster.ended.wait(20)
            return
        found = [one for key, one in self.cluster.objects.items() if key[:2] == (resource, namespace)]
        for selector in query.get("fieldSelector", []):
            name = selector.removeprefix("metadata.name=")
            found = [one for one in found if one["metadata"]["name"] == name]
        version = (
            urlsplit(self.path).path.strip("/").partition("/namespaces")[0].removeprefix("apis/").removeprefix("api/")
        )
        self._answer({"kind": "List", "apiVersion": version, "items": found, "metadata": {"resourceVersion": "1"}})

    def _found(self, one: Object | None, resource: str, name: str) -> None:
        if one is None:
            self._refuse(404, "NotFound", f'{resource} "{name}" not found')
        else:
            self._answer(one)

    def _refuse(self, code: int, reason: str, message: str) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
        details = {"causes": [{"reason": "FieldManagerConflict", "message": message, "field": ".spec.replicas"}]}
        self._answer({**status, "message": message, **({"details": details} if code == 409 else {})}, code=code)

    def _answer(self, document: Any, *, code: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster with the namespace `models`."""
    cluster = Cluster()
    cluster.objects["namespaces", "", "models"] = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "models", "uid": "1"},
    }
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield cluster
    finally:
        cluster.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
