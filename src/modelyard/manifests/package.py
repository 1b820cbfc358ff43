"""The SeldonDeployment of a single image and a model on a volume: what `seldon generate-deployment` writes."""

import shlex
from typing import Any

from modelyard.errors import InputError
from modelyard.manifests.documents import Manifest
from modelyard.manifests.pods import container_security, fetching_container, pod_security

_STORAGE = "/storage"
# The only program that knows Neu.ro's storage. Its image is what seed deployments name, tag and all.
_NEURO = "neuromation/neuro-extras:latest"
_WINDOW = {"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 120}


def make_package_deployment(
    *, name: str, image: str, storage: str, storage_secret: str, registry_secret: str
) -> Manifest:
    """One MODEL that finds what `storage` names below /storage.

    Raises InputError for an image or an address that is none a cluster could get.
    """
    if image.startswith("image:"):
        raise InputError(
            f"{image} is an image of Neu.ro's own registry", hint="name it as a cluster pulls it: host/name:tag"
        )
    mount = {"name": "storage", "mountPath": _STORAGE}
    fetching = _fetch(image, storage, storage_secret)
    pod = {
        **pod_security(is_root="securityContext" not in fetching),
        "imagePullSecrets": [{"name": registry_secret}],
        "initContainers": [fetching],
        "containers": [
            {
                "name": "model",
                "image": image,
                "imagePullPolicy": "IfNotPresent" if "@" in image else "Always",
                "startupProbe": {"httpGet": {"path": "/health/status", "port": "http"}, **_WINDOW},
                "readinessProbe": {"httpGet": {"path": "/health/status", "port": "http"}, "periodSeconds": 5},
                "livenessProbe": {
                    "httpGet": {"path": "/health/ping", "port": "http"},
                    "periodSeconds": 10,
                    "failureThreshold": 6,
                },
                "securityContext": container_security(),
                "volumeMounts": [{**mount, "readOnly": True}, {"name": "tmp", "mountPath": "/tmp"}],
            }
        ],
        "volumes": [
            {"name": "storage", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "secret", "secret": {"secretName": storage_secret, "optional": True}},
        ],
    }
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": name},
        "spec": {
            "predictors": [
                {
                    "name": "predictor",
                    "replicas": 1,
                    "componentSpecs": [{"spec": pod}],
                    "graph": {"name": "model", "type": "MODEL", "endpoint": {"type": "REST"}},
                }
            ]
        },
    }


def _fetch(image: str, storage: str, secret: str) -> dict[str, Any]:
    """The container that gets the model: the image itself from S3, Neu.ro's own program from its storage."""
    if storage.startswith("s3://"):
        mounts = [{"name": "storage", "mountPath": _STORAGE}, {"name": "tmp", "mountPath": "/tmp"}]
        return fetching_container(image, storage, _STORAGE, secret=secret, mounts=mounts)
    if not storage.startswith("storage:"):
        raise InputError(
            f"{storage}: no place for a model that is known here", hint="s3://bucket/folder/model.pkl, or storage:..."
        )
    words = [
        "cp -L -r /var/run/neuro/config /root/.neuro",
        "chmod 0700 /root/.neuro",
        "chmod 0600 /root/.neuro/db",
        f"neuro cp {shlex.quote(storage)} {_STORAGE}",
    ]
    return {
        "name": "neuro-download",
        "image": _NEURO,
        "imagePullPolicy": "Always",
        "command": ["bash", "-c"],
        "args": ["; ".join(words)],
        "volumeMounts": [
            {"name": "storage", "mountPath": _STORAGE},
            {"name": "secret", "mountPath": "/var/run/neuro/config", "readOnly": True},
        ],
    }
