"""A daemon as a Deployment with all that stands around it."""

import json
from hashlib import sha256
from typing import Any

from modelyard.manifests.documents import Manifest
from modelyard.manifests.pods import serving_pod
from modelyard.manifests.workload import Serving

_SETTINGS = "-settings"


def make_deployment(serving: Serving) -> list[Manifest]:
    """Every object of a daemon, those that others need first."""
    made = [
        config_map(serving),
        deployment(serving),
        service(serving),
        disruption_budget(serving),
        network_policy(serving),
        _scaler(serving),
        _entrance(serving),
        _monitor(serving),
    ]
    return [one for one in made if one is not None]


def config_map(serving: Serving) -> Manifest | None:
    """The variables that are set beside the image's own."""
    if not serving.environment:
        return None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": serving.metadata(_SETTINGS),
        "data": dict(sorted(serving.environment.items())),
    }


def deployment(serving: Serving) -> Manifest:
    """Pods that are replaced one by one, each when the next one is ready."""
    spec = serving_pod(serving)
    container = spec["containers"][0]
    container["env"] = [one for one in container.get("env", []) if one["name"] not in serving.environment]
    if serving.environment:
        container["envFrom"] = [{"configMapRef": {"name": f"{serving.name}{_SETTINGS}"}}]
    if not container["env"]:
        del container["env"]
    scaled = serving.most_replicas is not None
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": serving.metadata(annotations={"modelyard/routes": " ".join(serving.routes)}),
        "spec": {
            **({} if scaled else {"replicas": serving.replicas}),
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": max(600, serving.startup_seconds + 60),
            "selector": {"matchLabels": serving.selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                # Pods read a ConfigMap when they start: another digest starts new ones.
                "metadata": {"labels": serving.labels, "annotations": {"modelyard/settings": _digest(serving)}},
                "spec": spec,
            },
        },
    }


def service(serving: Serving) -> Manifest:
    """One address for all pods that are ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": serving.metadata(),
        "spec": {
            "type": "ClusterIP",
            "selector": serving.selector,
            "ports": [
                {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"},
            ],
        },
    }


def disruption_budget(serving: Serving) -> Manifest:
    """Nodes are emptied one pod at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": serving.metadata(),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": serving.selector}},
    }


def network_policy(serving: Serving) -> Manifest:
    """Nothing but the daemon's port is reached from outside; what a model asks of others is not limited."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": serving.metadata(),
        "spec": {
            "podSelector": {"matchLabels": serving.selector},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": "http", "protocol": "TCP"}]}],
        },
    }


def _scaler(serving: Serving) -> Manifest | None:
    from modelyard.manifests.scaling import queue_scaler, scaler

    if serving.most_replicas is None:
        return None
    return queue_scaler(serving) if serving.prometheus else scaler(serving)


def _entrance(serving: Serving) -> Manifest | None:
    from modelyard.manifests.access import http_route, ingress

    if serving.host is None:
        return None
    return http_route(serving) if serving.gateway else ingress(serving)


def _monitor(serving: Serving) -> Manifest | None:
    from modelyard.manifests.monitoring import monitor

    return monitor(serving) if serving.monitor else None


def _digest(serving: Serving) -> str:
    text: Any = json.dumps(dict(serving.environment), sort_keys=True)
    return sha256(text.encode()).hexdigest()[:16]
