"""A rendered file of Kubernetes objects, and mistakes that people make in one: for the benchmark and for tests."""

from typing import Any

IMAGE = f"registry.example/income/rf@sha256:{'0' * 64}"
# What stands in a rendered file, and what somebody writes by mistake.
TYPOS = {
    "kind": ("kind: Deployment\nmetadata", "kind: Deploymnt\nmetadata"),
    "group": ("apiVersion: apps/v1\n", "apiVersion: app/v1\n"),
    "an old version": ("apiVersion: autoscaling/v2\n", "apiVersion: autoscaling/v2beta2\n"),
    "field of a spec": ("progressDeadlineSeconds:", "progressDeadlineSecond:"),
    "field of a container": ("readinessProbe:", "readinesProbe:"),
    "field in another place": ("  strategy:\n", "  terminationGracePeriodSeconds: 30\n  strategy:\n"),
    "text for a number": ("containerPort: 5000", 'containerPort: "5000"'),
    "number for text": ('cpu: "1"\n', "cpu: [1]\n"),
    "unquoted variable": ('MODELYARD_ACCESS_LOG: "1"', "MODELYARD_ACCESS_LOG: 1"),
    "enum of a container": ("imagePullPolicy: IfNotPresent", "imagePullPolicy: IfNotPresnt"),
    "enum in small letters": ("protocol: TCP", "protocol: tcp"),
    "enum of a constraint": ("whenUnsatisfiable: ScheduleAnyway", "whenUnsatisfiable: ScheduleAnyways"),
    "quantity": ('memory: "512Mi"', 'memory: "512MB"'),
    "port out of range": ("port: 80\n", "port: 80800\n"),
    "name": ("name: income-rf-settings", "name: income_rf-settings"),
    "label": ("app.kubernetes.io/part-of: income", 'app.kubernetes.io/part-of: "income rf"'),
    "selector": (
        "matchLabels:\n      app.kubernetes.io/name: income-rf\n  strategy",
        "matchLabels:\n      app.kubernetes.io/name: income-rg\n  strategy",
    ),
    "missing field": (
        "  selector:\n    matchLabels:\n      app.kubernetes.io/name: income-rf\n  strategy",
        "  strategy",
    ),
    "key twice": ("type: ClusterIP\n", "type: ClusterIP\n  type: NodePort\n"),
    "a probe's number": ("timeoutSeconds: 5", "timeoutSeconds: 0"),
}


def render(name: str) -> list[dict[str, Any]]:
    """Every object of one daemon."""
    from modelyard.manifests.deployment import make_deployment
    from modelyard.manifests.measured import Measured
    from modelyard.manifests.workload import Serving, choose_resources

    measured = Measured(name="income/rf", load_seconds={"income/rf": 3.0}, workers={"rf": 1}, memory_bytes=400 << 20)
    return make_deployment(
        Serving(
            name=name,
            title="income/rf",
            image=IMAGE,
            environment={"MODEL_NAME": "income_rf", "MODELYARD_ACCESS_LOG": "1"},
            resources=choose_resources(cpu="1", memory=None, gpus=0, measured=measured, buffered=40 << 20),
            routes=("rf",),
            route_models={"rf": "income/rf"},
            measured=measured,
            replicas=2,
            most_replicas=5,
            host="income.example",
            tls_secret="income-tls",
            monitor="service",
        )
    )


def finds_typo(text: str) -> bool:
    """Whether our own validation refuses a file."""
    from modelyard.errors import InputError
    from modelyard.manifests.documents import read_documents
    from modelyard.manifests.validation import check_all, choose_version

    try:
        check_all(read_documents(text, source="income.yaml"), version=choose_version(None))
    except InputError:
        return True
    return False
