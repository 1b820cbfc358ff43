"""What tells the Prometheus operator to ask a daemon for its counters."""

from modelyard.manifests.documents import Manifest
from modelyard.manifests.workload import Serving

_ENDPOINT = {"port": "http", "path": "/metrics", "interval": "30s"}


def monitor(serving: Serving) -> Manifest:
    """A ServiceMonitor, or a PodMonitor."""
    is_service = serving.monitor == "service"
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor" if is_service else "PodMonitor",
        "metadata": serving.metadata(),
        "spec": {
            "selector": {"matchLabels": serving.selector},
            "endpoints" if is_service else "podMetricsEndpoints": [_ENDPOINT],
        },
    }
