"""A daemon as an InferenceService, or as the ServingRuntime of many."""

from collections.abc import Mapping
from typing import Any

from modelyard.errors import InputError
from modelyard.manifests.documents import Manifest
from modelyard.manifests.names import name_each
from modelyard.manifests.pods import Contact, serving_pod
from modelyard.manifests.workload import Serving

_CONTAINER = "kserve-container"
_CONTACT = Contact(ready="/v2/health/ready", live="/v2/health/live")
# Deployments rather than Knative: nothing is loaded again for a request after a quiet hour.
_RAW = {"serving.kserve.io/deploymentMode": "RawDeployment"}
_OF_RUNTIME = ("volumes", "tolerations", "imagePullSecrets")


def make_inference_service(serving: Serving) -> list[Manifest]:
    """One InferenceService whose own container answers V1 and V2 for every route."""
    spec = serving_pod(serving, container=_CONTAINER, contact=_CONTACT)
    return [_service(serving, serving.name, {**_scale(serving), **spec})]


def make_serving_runtime(serving: Serving, routes: Mapping[str, str]) -> list[Manifest]:
    """A ServingRuntime of the image, and an InferenceService for each model that serves its routes alone.

    `routes` has ROUTES of each model, by its name.
    """
    if serving.models.kind == "s3":
        raise InputError(
            "a ServingRuntime has no init container, so that it can't get its models from S3",
            hint="--models baked, pvc:CLAIM or oci:IMAGE; or one InferenceService of a model directory",
        )
    spec = serving_pod(serving, container=_CONTAINER, contact=_CONTACT)
    shared = {key: spec.pop(key) for key in _OF_RUNTIME if key in spec}
    container = spec.pop("containers")[0]
    runtime: Manifest = {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": serving.metadata(),
        "spec": {
            "supportedModelFormats": [{"name": serving.name, "version": "1", "autoSelect": False}],
            "protocolVersions": ["v1", "v2"],
            "multiModel": False,
            "containers": [container],
            **shared,
        },
    }
    names = name_each(routes)
    return [
        runtime,
        *(
            _service(serving, names[model], {**_scale(serving), "model": _model(serving, text), **spec})
            for model, text in routes.items()
        ),
    ]


def _model(serving: Serving, routes: str) -> dict[str, Any]:
    return {
        "modelFormat": {"name": serving.name, "version": "1"},
        "runtime": serving.name,
        "env": [{"name": "ROUTES", "value": routes}],
    }


def _service(serving: Serving, name: str, predictor: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {**serving.metadata(annotations=_RAW), "name": name},
        "spec": {"predictor": predictor},
    }


def _scale(serving: Serving) -> dict[str, Any]:
    most = serving.most_replicas
    by_cpu = {"scaleMetric": "cpu", "scaleTarget": 70} if most is not None else {}
    return {"minReplicas": serving.replicas, "maxReplicas": most or serving.replicas, **by_cpu}
