"""Kubernetes objects of model directories and `all/`: what is to be rendered, and with which images."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from modelyard.commands.building import BuildRequest
from modelyard.commands.pinning import ImageChoice, pin
from modelyard.commands.serving import ServeRequest, check_settings
from modelyard.commands.subject import Subject, models_of
from modelyard.commands.training import TrainRequest
from modelyard.errors import InputError
from modelyard.manifests.deployment import make_deployment
from modelyard.manifests.documents import Manifest
from modelyard.manifests.kserve import make_inference_service, make_serving_runtime
from modelyard.manifests.measured import Measured, read_measured
from modelyard.manifests.names import check_label, name_each
from modelyard.manifests.seldon import Unit, make_seldon_deployment
from modelyard.manifests.training import (
    make_cron_job,
    make_indexed_job,
    make_job,
    make_pytorch_job,
    make_train_job,
)
from modelyard.manifests.workload import Serving, Training, choose_resources, parse_models
from modelyard.probe.methods import find_unit_type, imports_kubeml
from modelyard.runtime.daemon.settings import load_settings
from modelyard.workspace import ENVIRONMENT_FILE, CombinedDirectory, Kind, ModelDirectory, Workspace

TRAINING = ("job", "indexed-job", "pytorchjob", "trainjob", "cronjob")
# What some kinds have no place for: an option that is silently dropped is as bad as a field that is.
_OF_DEPLOYMENTS = ("prometheus", "host", "tls_secret", "ingress_class", "gateway", "monitor")
_OF_SERVING = ("replicas", "most_replicas", "models_secret", "tokens_secret", *_OF_DEPLOYMENTS)
_OF_TRAINING = ("data", "payload", "workers", "schedule", "runtime", "fs_group")
_SPELT = {"tls_secret": "tls", "tokens_secret": "tokens", "most_replicas": "max-replicas"}
_SCHEDULE = re.compile(r"@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[\w*/,?#-]+( [\w*/,?#-]+){4}")
_TRAINERS = {
    "job": make_job,
    "indexed-job": make_indexed_job,
    "pytorchjob": make_pytorch_job,
    "trainjob": make_train_job,
    "cronjob": make_cron_job,
}


@dataclass(frozen=True, kw_only=True)
class ManifestRequest:
    """What to render, as it was typed."""

    workspace: Workspace
    subjects: Sequence[Subject]
    kind: str
    image: ImageChoice
    name: str | None = None
    namespace: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    cpu: str = "1"
    memory: str | None = None
    gpus: int = 0
    models: str = "baked"
    models_secret: str | None = None
    pull_secret: str | None = None
    replicas: int = 1
    most_replicas: int | None = None
    prometheus: str | None = None
    tokens_secret: str | None = None
    host: str | None = None
    tls_secret: str | None = None
    ingress_class: str | None = None
    gateway: str | None = None
    monitor: Literal["service", "pod"] | None = None
    graph: str | None = None
    data: str | None = None
    payload: Mapping[str, Any] | None = None
    workers: int = 1
    schedule: str | None = None
    runtime: str = "torch-distributed"
    fs_group: int = 1001

    @property
    def image_kind(self) -> Kind:
        """Which of a model's images it runs."""
        return "train" if self.kind in TRAINING else "predict"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """Objects, and what a person should know of them."""

    manifests: tuple[Manifest, ...]
    notes: tuple[str, ...] = ()


def render(request: ManifestRequest, environ: Mapping[str, str]) -> Rendered:
    """The objects of every subject; raise InputError for what a cluster would not take, or would take wrongly."""
    _check(request)
    images = pin(request.image, [(subject, request.image_kind) for subject in request.subjects], environ)
    names = _names(request)
    if request.kind in TRAINING:
        trainings = [_train(request, subject, names[subject.full_name], images) for subject in request.subjects]
        make = _TRAINERS[request.kind]
        return Rendered(manifests=tuple(one for training in trainings for one in make(training)))
    servings = [_serve(request, subject, names[subject.full_name], images) for subject in request.subjects]
    made = _make_serving(request, servings)
    return Rendered(manifests=tuple(made), notes=tuple(_describe_unmeasured(one) for one in servings if _is_open(one)))


def measured_path(subject: Subject) -> Path:
    """Where what was measured of a subject's daemon is kept."""
    return subject.path / ".s2i" / "measured.json"


def _check(request: ManifestRequest) -> None:
    if request.name is not None and len(request.subjects) > 1:
        raise InputError(f"--name {request.name} names {len(request.subjects)}", hint="render one at a time")
    _check_options(request)
    for option, value in (("--name", request.name), ("--namespace", request.namespace), ("--graph", request.graph)):
        if value is not None:
            check_label(value, what=option)
    if (request.schedule is None) is (request.kind == "cronjob"):
        raise InputError(
            f"--kind {request.kind} {'needs' if request.kind == 'cronjob' else 'has no'} --schedule",
            hint="--kind cronjob --schedule '0 3 * * *'",
        )
    if request.schedule is not None and not _SCHEDULE.fullmatch(request.schedule):
        raise InputError(f"--schedule {request.schedule!r} is no schedule", hint="five fields: '0 3 * * *', or @daily")
    if request.graph is not None and request.kind != "seldon":
        raise InputError("--graph is of --kind seldon", hint="leave it out")
    if request.prometheus is not None and request.most_replicas is None:
        raise InputError("--prometheus says what to scale by, but not how far", hint="add --max-replicas 5")
    if request.most_replicas is not None and request.most_replicas < request.replicas:
        raise InputError(
            f"--max-replicas {request.most_replicas} is less than --replicas {request.replicas}",
            hint="raise it, or leave it out",
        )
    for subject in request.subjects:
        if not (subject.path / ENVIRONMENT_FILE).is_file():
            raise InputError(
                f"{subject.path}: is not generated yet", hint=f"write it: modelyard generate {subject.path}"
            )
    for option, value in (("--tls", request.tls_secret), ("--gateway", request.gateway)):
        if value is not None and request.host is None:
            raise InputError(f"{option} {value}: of which host?", hint="add --host models.example.com")


def _check_options(request: ManifestRequest) -> None:
    """Raise InputError for an option that the kind has no place for."""
    foreign = _OF_SERVING if request.kind in TRAINING else _OF_TRAINING
    if request.kind in ("kserve", "seldon"):
        foreign = (*foreign, *_OF_DEPLOYMENTS)
    elif request.kind in ("job", "cronjob"):
        foreign = (*foreign, "workers")
    defaults = {one.name: one.default for one in fields(request)}
    for name in foreign:
        if getattr(request, name) != defaults[name] and name != "schedule":
            option = f"--{_SPELT.get(name, name).replace('_', '-')}"
            raise InputError(
                f"{option} has no place in --kind {request.kind}", hint="leave it out, or choose another kind"
            )


def _names(request: ManifestRequest) -> dict[str, str]:
    """The label of each subject's objects, made of the name its containers have."""
    suffix = "-train" if request.kind in TRAINING else ""
    if request.name is not None:
        return {request.subjects[0].full_name: request.name}
    by_container = {subject.full_name: f"{subject.container_name}{suffix}" for subject in request.subjects}
    for container in set(by_container.values()):
        same = [full for full, name in by_container.items() if name == container]
        if len(same) > 1:
            raise InputError(
                f"{same[0]} and {same[1]} would both be called {container!r} in the cluster",
                hint="give one of them another CONTAINER_NAME in its Makefile, or render one at a time with --name",
            )
    labels = name_each(by_container.values())
    return {full: labels[name] for full, name in by_container.items()}


def _serve(request: ManifestRequest, subject: Subject, name: str, images: Mapping[str, str]) -> Serving:
    measured = _find_measured(subject)
    environment = _environment(request, subject, measured)
    build = BuildRequest(workspace=request.workspace, subject=subject, kind="predict")
    check_settings(ServeRequest(build=build, environment=environment))
    settings = load_settings({**subject.environment, **environment})
    routes = {route.name: model.full_name for model in models_of(subject) for route in model.served_routes}
    return Serving(
        name=name,
        title=subject.full_name,
        image=images[subject.full_name],
        environment=environment,
        resources=choose_resources(
            cpu=request.cpu,
            memory=request.memory,
            gpus=request.gpus,
            measured=measured,
            buffered=settings.max_buffered,
        ),
        models=parse_models(request.models, secret=request.models_secret),
        namespace=request.namespace,
        pull_secret=request.pull_secret,
        routes=tuple(routes),
        route_models=routes,
        settings=settings,
        measured=measured,
        replicas=request.replicas,
        most_replicas=request.most_replicas,
        prometheus=request.prometheus,
        tokens_secret=request.tokens_secret,
        host=request.host,
        tls_secret=request.tls_secret,
        ingress_class=request.ingress_class,
        gateway=request.gateway,
        monitor=request.monitor,
    )


def _environment(request: ManifestRequest, subject: Subject, measured: Measured | None) -> dict[str, str]:
    """What is set beside the image's own: the single model's name, as many processes as were measured, JSON logs."""
    own = subject.environment
    names = ("MODEL_NAME", "MODElNAME")
    named = dict.fromkeys(names, subject.model_name) if isinstance(subject, ModelDirectory) else {}
    kept = {"WORKERS": measured.workers_variable} if measured is not None and "WORKERS" not in own else {}
    logged = {} if "MODELYARD_LOG" in own else {"MODELYARD_LOG": "json"}
    return {**named, **kept, **logged, **request.environment}


def _find_measured(subject: Subject) -> Measured | None:
    path = measured_path(subject)
    measured = read_measured(path)
    if measured is not None and set(measured.load_seconds) != {model.full_name for model in models_of(subject)}:
        raise InputError(
            f"{path}: was measured of {', '.join(sorted(measured.load_seconds))}, which {subject.full_name} is no more",
            hint="measure again: modelyard serve, then modelyard manifests --measure URL; or remove the file",
        )
    return measured


def _make_serving(request: ManifestRequest, servings: Sequence[Serving]) -> list[Manifest]:
    if request.kind == "deployment":
        return [one for serving in servings for one in make_deployment(serving)]
    if request.kind == "seldon":
        units = [
            Unit(serving=serving, type=_unit_type(subject, serving))
            for subject, serving in zip(request.subjects, servings, strict=True)
        ]
        if request.graph is not None:
            return make_seldon_deployment(units, name=request.graph)
        return [one for unit in units for one in make_seldon_deployment([unit])]
    return [
        one
        for subject, serving in zip(request.subjects, servings, strict=True)
        for one in (
            make_serving_runtime(serving, _routes_by_model(subject))
            if isinstance(subject, CombinedDirectory)
            else make_inference_service(serving)
        )
    ]


def _unit_type(subject: Subject, serving: Serving) -> Any:
    """What a model's class does in a graph; an `all/` answers for the route that stands for it."""
    routes = {route.name: (model, route) for model in models_of(subject) for route in model.served_routes}
    chosen = serving.settings.default_route or (next(iter(routes)) if len(routes) == 1 else None)
    if chosen is None:
        raise InputError(
            f"Seldon asks {subject.full_name} without naming a route, and it has {len(routes)}: {', '.join(routes)}",
            hint=f"-e DEFAULT_ROUTE={next(iter(routes), 'ROUTE')}, or render its model directories",
        )
    model, route = routes[chosen]
    return find_unit_type(model, route)


def _routes_by_model(subject: CombinedDirectory) -> dict[str, str]:
    return {
        model.full_name: ",".join(f"{route.name}:{route.module}:{route.function}" for route in model.served_routes)
        for model in subject.models
    }


def _train(request: ManifestRequest, subject: Subject, name: str, images: Mapping[str, str]) -> Training:
    if not isinstance(subject, ModelDirectory):
        raise InputError(f"--kind {request.kind} trains one model, and {subject.full_name} has several")
    models = parse_models(request.models)
    if models.kind != "pvc":
        raise InputError(
            f"--models {request.models}: what {subject.full_name} learns would be lost with its pod",
            hint="name a claim to write it to: --models pvc:CLAIM",
        )
    asked = TrainRequest(workspace=request.workspace, model=subject, payload=request.payload)
    if request.data is None and request.payload is None and asked.dataset_name:
        raise InputError(
            f"{subject.full_name} learns from data/{asked.dataset_name}, which is not in its image",
            hint="name the claim that has it: --data pvc:CLAIM",
        )
    return Training(
        name=name,
        title=subject.full_name,
        image=images[subject.full_name],
        environment=request.environment,
        resources=choose_resources(cpu=request.cpu, memory=request.memory, gpus=request.gpus, measured=None),
        namespace=request.namespace,
        pull_secret=request.pull_secret,
        payload=json.dumps(asked.train_payload),
        data_claim=_claim(request.data),
        models_claim=models.reference,
        workers=request.workers,
        is_launched=imports_kubeml(subject),
        schedule=request.schedule,
        runtime=request.runtime,
        fs_group=request.fs_group,
    )


def _claim(text: str | None) -> str | None:
    if text is None:
        return None
    models = parse_models(text)
    if models.kind != "pvc":
        raise InputError(f"--data {text}: data come from a claim", hint="--data pvc:CLAIM")
    return models.reference


def _is_open(serving: Serving) -> bool:
    return serving.measured is None


def _describe_unmeasured(serving: Serving) -> str:
    memory = "" if serving.resources.memory_limit else ", and its memory is not limited"
    return (
        f"{serving.title}: nothing was measured, so it may take {serving.startup_seconds} s to start (LOAD_TIMEOUT)"
        f"{memory}. Measure: modelyard serve {serving.title}, send it what it is for, then "
        f"modelyard manifests {serving.title} --measure http://127.0.0.1:5111"
    )
