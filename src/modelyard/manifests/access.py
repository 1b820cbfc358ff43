"""How a daemon is reached from outside of a cluster."""

from modelyard.manifests.documents import Manifest
from modelyard.manifests.workload import Serving


def ingress(serving: Serving) -> Manifest:
    """An Ingress for a host, with TLS where a secret is named."""
    backend = {"service": {"name": serving.name, "port": {"name": "http"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": serving.metadata(),
        "spec": {
            **({"ingressClassName": serving.ingress_class} if serving.ingress_class else {}),
            **({"tls": [{"hosts": [serving.host], "secretName": serving.tls_secret}]} if serving.tls_secret else {}),
            "rules": [
                {"host": serving.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
            ],
        },
    }


def http_route(serving: Serving) -> Manifest:
    """An HTTPRoute of the Gateway API; TLS is the gateway's own."""
    namespace, _, name = (serving.gateway or "").rpartition("/")
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": serving.metadata(),
        "spec": {
            "parentRefs": [{"name": name, **({"namespace": namespace} if namespace else {})}],
            "hostnames": [serving.host],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "backendRefs": [{"name": serving.name, "port": 80}],
                }
            ],
        },
    }
