"""Why pods do not become ready, of what the cluster says of them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What is wrong with a pod; `log` names a container whose log says more, `ready` one to be asked itself."""

    pod: str
    message: str
    hint: str
    log: str | None = None
    previous: bool = False
    ready: str | None = None


def find_cause(pods: Sequence[Mapping[str, Any]], conditions: Sequence[Mapping[str, Any]] = ()) -> Cause | None:
    """The first cause there is: that of a pod, else that of a Deployment which gets none."""
    for pod in sorted(pods, key=lambda one: str(one["metadata"].get("creationTimestamp", "")), reverse=True):
        for cause in _causes(pod):
            return cause
    for one in conditions:
        if one.get("type") == "ReplicaFailure" and one.get("status") == "True":
            return Cause(pod="", message=f"no pod is made: {one.get('message', '')}", hint="kubectl describe quota")
    return None


def _causes(pod: Mapping[str, Any]) -> Iterator[Cause]:
    name, status = str(pod["metadata"]["name"]), pod.get("status", {})
    yield from _unscheduled(name, status)
    for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        yield from _of_container(name, one)
    for one in status.get("containerStatuses", []):
        if "running" in one.get("state", {}) and not one.get("ready"):
            yield Cause(
                pod=name,
                message=f"{name} runs and is not ready",
                hint="its models have not loaded: the log says why",
                log=one["name"],
                ready=one["name"],
            )


def _unscheduled(name: str, status: Mapping[str, Any]) -> Iterator[Cause]:
    for one in status.get("conditions", []):
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            yield Cause(
                pod=name,
                message=f"{name} finds no node: {one.get('message', one.get('reason', ''))}",
                hint="ask for less (--cpu, --memory, --gpus), or add nodes",
            )


def _of_container(pod: str, container: Mapping[str, Any]) -> Iterator[Cause]:
    name = str(container["name"])
    waiting = container.get("state", {}).get("waiting", {})
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated") or {}
    reason, told = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _NO_IMAGE:
        yield Cause(
            pod=pod,
            message=f"{container.get('image')} can't be pulled: {told or reason}",
            hint="is it pushed, and does the cluster have its credentials? --pull-secret",
        )
    elif reason in ("CreateContainerConfigError", "CreateContainerError"):
        yield Cause(pod=pod, message=f"{pod} can't be started: {told or reason}", hint="is the secret or claim there?")
    elif ended.get("reason") == "OOMKilled":
        yield Cause(
            pod=pod, message=f"{name} of {pod} took more memory than its limit", hint="--memory, or measure again"
        )
    elif ended.get("exitCode"):
        yield Cause(
            pod=pod,
            message=f"{name} of {pod} ended with {ended['exitCode']}",
            hint="its last lines stand above",
            log=name,
            previous="waiting" in container.get("state", {}),
        )
