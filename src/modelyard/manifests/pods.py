"""Pods that pass the restricted Pod Security level: any uid, nothing writable but what a run writes, no privilege."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.manifests.workload import PERIOD, Resources, Serving, Training, Workload

PORT = 5000
TOKENS = "/var/run/modelyard/tokens"
_MODELS = "/action/models"
_AWS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"),
)
_LIVENESS = {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6}
_READINESS = {"periodSeconds": PERIOD, "timeoutSeconds": 3, "failureThreshold": 2}


@dataclass(frozen=True, kw_only=True)
class Contact:
    """How whoever runs a pod reaches its daemon."""

    port: int | None = PORT
    """None leaves it to them, as to Seldon's operator, which adds a port called `http`."""
    port_name: str = "http"
    ready: str = "/readyz"
    live: str = "/livez"


def serving_pod(serving: Serving, *, container: str = "daemon", contact: Contact = Contact()) -> dict[str, Any]:
    """The pod's spec of a daemon."""
    port = {"name": contact.port_name, "containerPort": contact.port, "protocol": "TCP"}
    return _pod(
        serving,
        {
            "name": container,
            "image": serving.image,
            **_pull_policy(serving.image),
            **({"ports": [port]} if contact.port else {}),
            **_environment(serving),
            **_resources(serving.resources),
            **_probes(serving, contact),
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(serving.pre_stop_seconds)]}}},
            "securityContext": container_security(),
            "volumeMounts": _mounts(serving),
        },
        volumes=_volumes(serving),
        terminationGracePeriodSeconds=serving.grace_seconds,
        **_first_of_all(serving),
        **_spread(serving),
    )


def _probes(serving: Serving, contact: Contact) -> dict[str, Any]:
    """While it starts nothing else is asked, so that no slow load is ended by another probe."""
    ready = {"httpGet": {"path": contact.ready, "port": contact.port_name}}
    live = {"httpGet": {"path": contact.live, "port": contact.port_name}}
    return {
        "startupProbe": {
            **ready,
            "periodSeconds": PERIOD,
            "timeoutSeconds": 3,
            "failureThreshold": serving.startup_failures,
        },
        "readinessProbe": {**ready, **_READINESS},
        "livenessProbe": {**live, **_LIVENESS},
    }


def training_pod(
    training: Training, *, container: str = "train", extra: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The pod's spec of a training; `extra` variables come last."""
    group = {"fsGroup": training.fs_group, "fsGroupChangePolicy": "OnRootMismatch"} if training.fs_group else {}
    return _pod(
        training,
        {
            "name": container,
            "image": training.image,
            **_pull_policy(training.image),
            "env": [*training_variables(training), *extra],
            **_resources(training.resources),
            "securityContext": container_security(),
            "volumeMounts": [
                {"name": "tmp", "mountPath": "/tmp"},
                {"name": "shm", "mountPath": "/dev/shm"},
                *([{"name": "data", "mountPath": "/model/data", "readOnly": True}] if training.data_claim else []),
                {"name": "models", "mountPath": "/model/models"},
            ],
        },
        volumes=[
            {"name": "tmp", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            *([_claim("data", training.data_claim, read_only=True)] if training.data_claim else []),
            _claim("models", training.models_claim),
        ],
        security=group,
        restartPolicy="Never",
    )


def training_variables(training: Training) -> list[dict[str, Any]]:
    """What tells a train image to train, and the caller's own."""
    own = {"TRAIN": "1", "PAYLOAD": training.payload, **training.environment}
    return [{"name": name, "value": value} for name, value in own.items()]


def _pod(
    workload: Workload, container: Mapping[str, Any], *, security: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A pod without the cluster's token and without variables that are named after other people's Services."""
    first = {"restartPolicy": more.pop("restartPolicy")} if "restartPolicy" in more else {}
    inits = more.pop("initContainers", None)
    return {
        **first,
        **pod_security(**(security or {})),
        **({"imagePullSecrets": [{"name": workload.pull_secret}]} if workload.pull_secret else {}),
        **_for_cards(workload.resources),
        **({"initContainers": inits} if inits else {}),
        "containers": [dict(container)],
        **more,
    }


def pod_security(*, is_root: bool = False, **more: Any) -> dict[str, Any]:
    """What the restricted level asks of a pod; `is_root` is for the one program of others that needs to be."""
    user = {} if is_root else {"runAsNonRoot": True}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}, **more},
    }


def fetching_container(
    image: str, address: str, folder: str, *, secret: str | None, mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    """The init container that gets models from S3: the same image, with the standard library alone."""
    known = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name, "optional": True}}}
        for name in _AWS
        if secret
    ]
    return {
        "name": "models",
        "image": image,
        **_pull_policy(image),
        "command": ["/opt/modelyard/environments/gateway/bin/python", "-P", "-m", "modelyard.runtime.fetching"],
        "args": [address, folder],
        "env": [{"name": "PYTHONPATH", "value": "/opt/modelyard/lib"}, *known],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": container_security(),
        "volumeMounts": mounts,
    }


def _pull_policy(image: str) -> dict[str, str]:
    """A digest is always the same image; a tag may have moved."""
    return {"imagePullPolicy": "IfNotPresent" if "@" in image else "Always"}


def _environment(serving: Serving) -> dict[str, Any]:
    own = {**serving.environment}
    if serving.tokens_secret:
        own["MODELYARD_TOKENS"] = TOKENS
    return {"env": [{"name": name, "value": value} for name, value in own.items()]} if own else {}


def _resources(resources: Resources) -> dict[str, Any]:
    """Cores are asked for and limited alike, for a daemon sizes itself by them."""
    cards = {"nvidia.com/gpu": resources.gpus} if resources.gpus else {}
    requested = {"memory": resources.memory_request} if resources.memory_request else {}
    limited = {"memory": resources.memory_limit} if resources.memory_limit else {}
    cpu = {"cpu": resources.cpu}
    return {"resources": {"requests": {**cpu, **requested, **cards}, "limits": {**cpu, **limited, **cards}}}


def _for_cards(resources: Resources) -> dict[str, Any]:
    """Nodes with graphics cards are often kept free of everything else."""
    tolerated = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return {"tolerations": tolerated} if resources.gpus else {}


def container_security() -> dict[str, Any]:
    """No privilege, and nothing to write but what is mounted for that."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    }


def _mounts(serving: Serving) -> list[dict[str, Any]]:
    models = [] if serving.models.kind == "baked" else [{"name": "models", "mountPath": _MODELS, "readOnly": True}]
    tokens = [{"name": "tokens", "mountPath": TOKENS, "readOnly": True}] if serving.tokens_secret else []
    return [{"name": "tmp", "mountPath": "/tmp"}, *models, *tokens]


def _volumes(serving: Serving) -> list[dict[str, Any]]:
    models: dict[str, Any] | None = None
    match serving.models.kind:
        case "pvc":
            models = _claim("models", serving.models.reference, read_only=True)
        case "s3":
            models = {"name": "models", "emptyDir": {}}
        case "oci":
            models = {"name": "models", "image": {"reference": serving.models.reference, "pullPolicy": "IfNotPresent"}}
    tokens = {"name": "tokens", "secret": {"secretName": serving.tokens_secret}} if serving.tokens_secret else None
    return [{"name": "tmp", "emptyDir": {}}, *(one for one in (models, tokens) if one is not None)]


def _first_of_all(serving: Serving) -> dict[str, Any]:
    if serving.models.kind != "s3":
        return {}
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "models", "mountPath": _MODELS}]
    models = serving.models
    return {
        "initContainers": [
            fetching_container(serving.image, models.reference, _MODELS, secret=models.secret, mounts=mounts)
        ]
    }


def _spread(serving: Serving) -> dict[str, Any]:
    """Replicas are put on different nodes where there are any."""
    return {
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": serving.selector},
            }
        ]
    }


def _claim(name: str, claim: str | None, *, read_only: bool = False) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim, **({"readOnly": True} if read_only else {})}}
