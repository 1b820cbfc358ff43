"""Bring objects to a cluster, see that they start, and take away what an earlier deploy had and this one has not."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any, Literal

from modelyard.commands.reporter import Reporter
from modelyard.engines.kubernetes.causes import Cause, find_cause
from modelyard.engines.kubernetes.kubectl import Kubectl
from modelyard.errors import EngineError, RunError
from modelyard.manifests.documents import Manifest, write_documents
from modelyard.manifests.validation import check_all, describe, known_versions

Verb = Literal["created", "configured", "unchanged", "removed"]
_LABEL = "app.kubernetes.io/name"
_READY = (
    "import urllib.request as r, urllib.error as e\n"
    "try: print(r.urlopen('http://127.0.0.1:5000/readyz', timeout=5).read().decode())\n"
    "except e.HTTPError as error: print(error.read().decode())"
)
_PYTHON = "/opt/modelyard/environments/gateway/bin/python"
# What the server adds, which is no difference of ours.
_SERVERS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happened to an object, or would."""

    object: str
    verb: Verb
    difference: str = ""


def deploy(manifests: Sequence[Manifest], kubectl: Kubectl, *, name: str, force: bool = False) -> list[Change]:
    """Validate for the cluster's own version, apply, and remove what the last deploy of `name` had beside that.

    Raises InputError for what this version of Kubernetes does not take, EngineError for what the cluster refuses;
    before anything is applied, the whole is rehearsed.
    """
    _check(manifests, kubectl)
    before = {describe(one): one for one in kubectl.get(manifests)}
    kubectl.apply(manifests, force=force, dry_run=True)
    applied = kubectl.apply(manifests, force=force)
    changes = [_compare(before.get(describe(one)), one) for one in applied]
    removed = _remove_rest(kubectl, name, applied)
    kubectl.apply([_inventory(name, kubectl.current_namespace(), applied)], force=True)
    return [*changes, *removed]


def rehearse(manifests: Sequence[Manifest], kubectl: Kubectl, *, name: str, force: bool = False) -> list[Change]:
    """What a deploy would change, as the cluster itself says, with the differences; nothing is changed."""
    _check(manifests, kubectl)
    before = {describe(one): one for one in kubectl.get(manifests)}
    after = kubectl.apply(manifests, force=force, dry_run=True)
    changes = [_compare(before.get(describe(one)), one) for one in after]
    keys = {_key(one) for one in after}
    rest = [Change(object=describe(one), verb="removed") for one in _known(kubectl, name) if _key(one) not in keys]
    return [*changes, *rest]


def undeploy(kubectl: Kubectl, *, name: str) -> list[Change]:
    """Delete what the inventory of `name` has, and the inventory; raise EngineError where there is none."""
    known = _known(kubectl, name)
    if not known:
        raise EngineError(
            f"nothing called {name} was deployed in the namespace {kubectl.current_namespace()}",
            hint="kubectl get configmaps -l app.kubernetes.io/managed-by=modelyard lists what was; --namespace",
        )
    gone = _delete(kubectl, known)
    kubectl.delete([_inventory(name, kubectl.current_namespace(), [])])
    return gone


def wait_until_ready(manifests: Sequence[Manifest], kubectl: Kubectl, reporter: Reporter, *, timeout: float) -> None:
    """Wait for every rollout; raise RunError with the cause where one fails."""
    for one in manifests:
        command = _waiting(one)
        if command is None:
            continue
        which = describe(one)
        with reporter.step(f"waiting for {which}") as step:
            limit = f"--timeout={int(timeout)}s"
            done = kubectl.call(*command, limit, timeout=timeout + 30)
            if done.returncode:
                raise _explain(one, kubectl, said=done.stderr.strip() or done.stdout.strip())
            step.done(f"{which} is ready")


def undo(manifests: Sequence[Manifest], kubectl: Kubectl) -> list[str]:
    """Bring every Deployment back to what it was before; return what was brought back."""
    names = [one["metadata"]["name"] for one in manifests if one["kind"] == "Deployment"]
    for name in names:
        kubectl.run("rollout", "undo", f"deployment/{name}")
    return names


def _check(manifests: Sequence[Manifest], kubectl: Kubectl) -> None:
    """Validate for the version of the cluster, or the nearest that is known."""
    version = kubectl.server_version()
    known = known_versions()
    newest = max(known, key=_number)
    check_all(
        manifests, version=version if version in known else newest if _number(version) > _number(newest) else known[0]
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _compare(before: Manifest | None, after: Manifest) -> Change:
    if before is None:
        return Change(object=describe(after), verb="created", difference=_differ({}, after))
    one, other = _own(before), _own(after)
    if one == other:
        return Change(object=describe(after), verb="unchanged")
    return Change(object=describe(after), verb="configured", difference=_differ(one, other))


def _own(manifest: Manifest) -> Manifest:
    """An object without what the server alone writes."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _SERVERS}
    annotations = {
        key: value
        for key, value in metadata.get("annotations", {}).items()
        if not key.startswith("deployment.kubernetes.io/")
    }
    kept = {**metadata, **({"annotations": annotations} if annotations else {})}
    if not annotations:
        kept.pop("annotations", None)
    return {**{key: value for key, value in manifest.items() if key != "status"}, "metadata": kept}


def _differ(before: Manifest, after: Manifest) -> str:
    old, new = (write_documents([one]).splitlines() if one else [] for one in (before, _own(after)))
    return "\n".join(unified_diff(old, new, "in the cluster", "now", lineterm=""))


def _inventory(name: str, namespace: str, objects: Sequence[Manifest]) -> Manifest:
    """What was deployed: kinds, names and uids."""
    kept = [
        {
            "apiVersion": one["apiVersion"],
            "kind": one["kind"],
            "metadata": {
                "name": one["metadata"]["name"],
                "namespace": one["metadata"].get("namespace", namespace),
                "uid": one["metadata"].get("uid"),
            },
        }
        for one in objects
    ]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"modelyard-{name}", "labels": {"app.kubernetes.io/managed-by": "modelyard"}},
        "data": {"objects": json.dumps(kept)},
    }


def _known(kubectl: Kubectl, name: str) -> list[Manifest]:
    """What the inventory of `name` has; raise EngineError for one that somebody has spoilt."""
    found = kubectl.get([_inventory(name, "", [])])
    if not found:
        return []
    try:
        objects: list[Manifest] = json.loads(found[0]["data"]["objects"])
        return [one for one in objects if one["kind"] and one["metadata"]["name"]]
    except (ValueError, KeyError, TypeError):
        raise EngineError(
            f"ConfigMap/modelyard-{name}: is no inventory any more",
            hint="delete it; what an earlier deploy made stays then",
        ) from None


def _remove_rest(kubectl: Kubectl, name: str, applied: Sequence[Manifest]) -> list[Change]:
    keys = {_key(one) for one in applied}
    return _delete(kubectl, [one for one in _known(kubectl, name) if _key(one) not in keys])


def _delete(kubectl: Kubectl, known: Sequence[Manifest]) -> list[Change]:
    """Delete those that are still the ones that were made: one of another uid is somebody else's."""
    uids = {_key(one): one["metadata"].get("uid") for one in known}
    there = [one for one in kubectl.get(known) if one["metadata"].get("uid") == uids[_key(one)]]
    kubectl.delete([{key: one[key] for key in ("apiVersion", "kind", "metadata")} for one in there])
    return [Change(object=describe(one), verb="removed") for one in there]


def _key(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """An object's kind with its group, and its name: versions come and go."""
    return f"{manifest['apiVersion'].rpartition('/')[0]}/{manifest['kind']}", manifest["metadata"]["name"]


def _waiting(manifest: Manifest) -> list[str] | None:
    name = manifest["metadata"]["name"]
    match manifest["kind"]:
        case "Deployment":
            return ["rollout", "status", f"deployment/{name}"]
        case "InferenceService":
            return ["wait", f"inferenceservice/{name}", "--for=condition=Ready"]
        case "SeldonDeployment":
            return ["wait", f"seldondeployment/{name}", "--for=jsonpath={.status.state}=Available"]
    return None


def _explain(manifest: Manifest, kubectl: Kubectl, *, said: str) -> RunError:
    """The cause of a rollout that fails, with the last lines of a log and what the daemon itself says."""
    name = manifest["metadata"]["labels"][_LABEL]
    answer = json.loads(kubectl.run("get", "pods", "-l", f"{_LABEL}={name}", "-o", "json"))
    live = kubectl.get([manifest])
    conditions = live[0].get("status", {}).get("conditions", []) if live else []
    cause = find_cause(answer["items"], conditions)
    if cause is None:
        return RunError(
            f"{describe(manifest)} does not become ready: {said}", hint=f"kubectl describe pods -l {_LABEL}={name}"
        )
    return RunError("\n  ".join([f"{describe(manifest)}: {cause.message}", *_details(cause, kubectl)]), hint=cause.hint)


def _details(cause: Cause, kubectl: Kubectl) -> Iterator[str]:
    if cause.ready is not None:
        asked = kubectl.call("exec", cause.pod, "-c", cause.ready, "--", _PYTHON, "-c", _READY)
        yield from asked.stdout.strip().splitlines()
    if cause.log is not None:
        previous = ["--previous"] if cause.previous else []
        yield from kubectl.call("logs", cause.pod, "-c", cause.log, "--tail=15", *previous).stdout.splitlines()
