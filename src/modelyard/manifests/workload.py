"""What is to run in a cluster, as one value: every kind of object is made of it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from modelyard.errors import InputError
from modelyard.manifests.measured import Measured, round_memory
from modelyard.runtime.daemon.settings import Settings

PERIOD = 5
"""Seconds between two probes while a daemon starts."""
_LEAST_WINDOW = 60
_SLOWER = 5
"""A node may be this many times slower than the machine that was measured on: cold disks, other pods."""
_PRE_STOP = 5
"""Seconds for which a pod that ends still answers: what routes to it learns of its end later than it does."""
_MODELS = re.compile(r"(?P<kind>baked|pvc|s3|oci)(?::(?P<rest>.+))?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Models:
    """Where the model binaries come from."""

    kind: Literal["baked", "pvc", "s3", "oci"] = "baked"
    reference: str = ""
    """The claim, `s3://bucket/folder/` or the image."""
    secret: str | None = None
    """With AWS_ACCESS_KEY_ID and its like, for `s3`."""


def parse_models(text: str, *, secret: str | None = None) -> Models:
    """Parse `baked`, `pvc:CLAIM`, `s3://BUCKET/KEY` or `oci:IMAGE`.

    >>> parse_models("s3://bucket/income/").reference
    's3://bucket/income/'
    """
    match = _MODELS.fullmatch(text)
    if match is None or (match["kind"] != "baked") is not bool(match["rest"]):
        raise InputError(
            f"--models {text}: no place for models",
            hint="baked, pvc:CLAIM, s3://BUCKET/KEY or oci:HOST/NAME@sha256:...",
        )
    if match["kind"] == "s3":
        return Models(kind="s3", reference=text, secret=secret)
    kind: Literal["baked", "pvc", "oci"] = match["kind"]  # type: ignore[assignment]
    return Models(kind=kind, reference=match["rest"] or "")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a pod asks for; memory only where it was measured or said."""

    cpu: str = "1"
    memory_request: str | None = None
    memory_limit: str | None = None
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class Workload:
    """An image to run, and what pods of every kind share."""

    name: str
    """The label that its objects are called by."""
    title: str
    """What it is of, for people: `income/rf`."""
    image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    """What is set beside the image's own."""
    resources: Resources = Resources()
    models: Models = Models()
    namespace: str | None = None
    pull_secret: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The recommended labels, and so that a project's objects can be found."""
        return {
            **self.selector,
            "app.kubernetes.io/part-of": label_value(self.title.partition("/")[0]),
            "app.kubernetes.io/managed-by": "modelyard",
        }

    @property
    def selector(self) -> dict[str, str]:
        """The label that no other workload's pods have."""
        return {"app.kubernetes.io/name": self.name}

    def metadata(self, suffix: str = "", **more: object) -> dict[str, object]:
        """The metadata of one of its objects."""
        namespace = {"namespace": self.namespace} if self.namespace else {}
        return {"name": f"{self.name}{suffix}", **namespace, "labels": self.labels, **more}


@dataclass(frozen=True, kw_only=True)
class Serving(Workload):
    """A daemon."""

    routes: tuple[str, ...]
    route_models: Mapping[str, str] = field(default_factory=dict)
    """The model of each route."""
    settings: Settings = field(default_factory=Settings)
    measured: Measured | None = None
    replicas: int = 1
    most_replicas: int | None = None
    prometheus: str | None = None
    """Where KEDA asks for the queue's length; without it the CPU decides."""
    tokens_secret: str | None = None
    host: str | None = None
    tls_secret: str | None = None
    ingress_class: str | None = None
    gateway: str | None = None
    """`[namespace/]name`: an HTTPRoute in place of an Ingress."""
    monitor: Literal["service", "pod"] | None = None

    @property
    def startup_seconds(self) -> int:
        """How long a pod may take to load its models.

        Five times what was measured, a minute at least. Where nothing was, what the daemon itself allows: LOAD_TIMEOUT
        for each model, which load one after the other on one core.
        """
        if self.measured is not None:
            return max(_LEAST_WINDOW, math.ceil(self.measured.seconds * _SLOWER))
        models = len(set(self.route_models.values())) or 1
        return math.ceil(self.settings.load_timeout * models)

    @property
    def startup_failures(self) -> int:
        """The probes that may fail until then."""
        return math.ceil(self.startup_seconds / PERIOD)

    @property
    def pre_stop_seconds(self) -> int:
        """How long a pod answers on after it was told to end."""
        return _PRE_STOP

    @property
    def grace_seconds(self) -> int:
        """STOP_TIMEOUT, the seconds before it, and some to end."""
        return math.ceil(self.settings.stop_timeout) + 2 * _PRE_STOP


@dataclass(frozen=True, kw_only=True)
class Training(Workload):
    """A run of a train image."""

    payload: str
    """`msg.payload` as JSON."""
    data_claim: str | None = None
    models_claim: str
    workers: int = 1
    is_launched: bool = False
    """Whether torchrun starts each pod's worker, as kubeml asks for; else the train function is called in each."""
    schedule: str | None = None
    runtime: str = "torch-distributed"
    """The TrainJob's (Cluster)TrainingRuntime."""
    fs_group: int = 1001
    """The group that a claim's files belong to; 0 leaves it to the cluster (OpenShift)."""


def label_value(text: str) -> str:
    """Make a label's value.

    >>> label_value("finance income!")
    'finance-income'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")


def choose_resources(
    *, cpu: str, memory: str | None, gpus: int, measured: Measured | None, buffered: int = 0
) -> Resources:
    """What a daemon asks for: the memory that is said, else a fifth more than was measured.

    Its limit leaves room for half as much again, and for the requests (MAX_BUFFERED) that were not there at the time.
    """
    if memory is not None:
        return Resources(cpu=cpu, memory_request=memory, memory_limit=memory, gpus=gpus)
    held = measured.memory_bytes if measured is not None else None
    if held is None:
        return Resources(cpu=cpu, gpus=gpus)
    return Resources(
        cpu=cpu, memory_request=round_memory(held * 1.2), memory_limit=round_memory(held * 1.5 + buffered), gpus=gpus
    )
