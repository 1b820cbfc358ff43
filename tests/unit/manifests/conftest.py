"""One daemon and one training to write objects of."""

import pytest

from modelyard.manifests.measured import Measured
from modelyard.manifests.workload import Models, Serving, Training, choose_resources

IMAGE = f"registry.example/income/rf@sha256:{'0' * 64}"


@pytest.fixture
def measured() -> Measured:
    return Measured(name="income/rf", load_seconds={"income/rf": 30.0}, workers={"rf": 2}, memory_bytes=400 << 20)


@pytest.fixture
def make_serving(measured):
    def make(**options) -> Serving:
        return Serving(
            **{
                "name": "income-rf",
                "title": "income/rf",
                "image": IMAGE,
                "environment": {"MODEL_NAME": "income_rf"},
                "resources": choose_resources(cpu="1", memory=None, gpus=0, measured=measured, buffered=256 << 20),
                "routes": ("rf",),
                "route_models": {"rf": "income/rf"},
                "measured": measured,
                **options,
            }
        )

    return make


@pytest.fixture
def make_training():
    def make(**options) -> Training:
        return Training(
            **{
                "name": "income-rf-train",
                "title": "income/rf",
                "image": IMAGE,
                "payload": '{"model_name": "income_rf"}',
                "models_claim": "income-models",
                "data_claim": "income-data",
                **options,
            }
        )

    return make


@pytest.fixture
def everything(make_serving) -> list[Serving]:
    """Daemons that have between them every object and every field that can be asked for."""
    return [
        make_serving(),
        make_serving(models=Models(kind="pvc", reference="claim"), tokens_secret="tokens", pull_secret="registry"),
        make_serving(models=Models(kind="s3", reference="s3://bucket/income/", secret="aws"), environment={}),
        make_serving(most_replicas=5, host="a.example", tls_secret="tls", ingress_class="nginx", monitor="service"),
        make_serving(
            most_replicas=5,
            prometheus="http://prometheus:9090",
            host="a.example",
            gateway="system/public",
            monitor="pod",
            namespace="models",
        ),
        make_serving(
            measured=None,
            resources=choose_resources(cpu="500m", memory="2Gi", gpus=2, measured=None),
        ),
    ]
