"""More pods when there is more to do: by their CPU, or by the requests that wait."""

from modelyard.manifests.documents import Manifest
from modelyard.manifests.workload import Serving

_BUSY = 70
"""Percent of the cores that a pod asks for."""
_WAITING = 4
"""Requests that wait for a model, on average of the pods."""


def scaler(serving: Serving) -> Manifest:
    """A HorizontalPodAutoscaler by CPU."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": serving.metadata(),
        "spec": {
            "scaleTargetRef": _target(serving),
            "minReplicas": serving.replicas,
            "maxReplicas": serving.most_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": _BUSY}},
                }
            ],
            # A pod takes a while to load its models: it is not given up for a quiet minute.
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": max(300, serving.startup_seconds)}},
        },
    }


def queue_scaler(serving: Serving) -> Manifest:
    """KEDA's ScaledObject by the daemon's own queue, as Prometheus has it."""
    where = f',namespace="{serving.namespace}"' if serving.namespace else ""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": serving.metadata(),
        "spec": {
            "scaleTargetRef": _target(serving),
            "minReplicaCount": serving.replicas,
            "maxReplicaCount": serving.most_replicas,
            "cooldownPeriod": max(300, serving.startup_seconds),
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": serving.prometheus,
                        "query": f'sum(modelyard_queue_depth{{pod=~"{serving.name}-.*"{where}}})',
                        "threshold": str(_WAITING),
                    },
                }
            ],
        },
    }


def _target(serving: Serving) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": serving.name}
