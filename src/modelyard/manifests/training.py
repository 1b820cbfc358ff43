"""A training as a Job, and as what several pods of one training need."""

from collections.abc import Sequence
from typing import Any

from modelyard.manifests.documents import Manifest
from modelyard.manifests.pods import training_pod
from modelyard.manifests.workload import Training

_RENDEZVOUS = 29500
# torchrun takes its options from PET_ variables, which the Indexed Job here and Kubeflow's operators set alike.
_LAUNCHED = ("/opt/modelyard/environments/default/bin/python", "-m", "torch.distributed.run", "-m", "kubeml")
_LAUNCHERS_VARIABLES = {
    "PYTHONPATH": "/model:/opt/modelyard/lib",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    "USER": "modelyard",
}
_KEPT = 24 * 60 * 60
"""Seconds that an ended Job stays, with its log."""
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


def make_job(training: Training) -> list[Manifest]:
    """One run, in one pod."""
    return [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": training.metadata(),
            "spec": _job_spec(training, training_pod(training)),
        }
    ]


def make_cron_job(training: Training) -> list[Manifest]:
    """A run whenever the schedule says so, never two at once."""
    return [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": training.metadata(),
            "spec": {
                "schedule": training.schedule,
                "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": 3600,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 3,
                "jobTemplate": {
                    "metadata": {"labels": training.labels},
                    "spec": _job_spec(training, training_pod(training)),
                },
            },
        }
    ]


def make_indexed_job(training: Training) -> list[Manifest]:
    """Several pods that find the first one by its name, with no operator: torchrun's variables, and env://'s."""
    first = f"{training.name}-0.{training.name}"
    spec = _worker_pod(training, extra=_rendezvous(training.workers, first))
    spec["subdomain"] = training.name
    spec["containers"][0]["ports"] = [{"name": "rendezvous", "containerPort": _RENDEZVOUS, "protocol": "TCP"}]
    many = {"completions": training.workers, "parallelism": training.workers, "completionMode": "Indexed"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": training.metadata(),
            "spec": {
                "clusterIP": "None",
                # They look for each other before they are ready.
                "publishNotReadyAddresses": True,
                "selector": training.selector,
                "ports": [
                    {"name": "rendezvous", "port": _RENDEZVOUS, "targetPort": "rendezvous", "protocol": "TCP"},
                ],
            },
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": training.metadata(),
            "spec": {**many, **_job_spec(training, spec)},
        },
    ]


def make_pytorch_job(training: Training) -> list[Manifest]:
    """A PyTorchJob of Kubeflow's training operator 1: the operator sets the variables."""

    def replicas(count: int) -> dict[str, Any]:
        pod = _worker_pod(training, container="pytorch")
        template = {"metadata": {"labels": training.labels}, "spec": pod}
        return {"replicas": count, "restartPolicy": "OnFailure", "template": template}

    roles = {"Master": replicas(1), **({"Worker": replicas(training.workers - 1)} if training.workers > 1 else {})}
    return [
        {
            "apiVersion": "kubeflow.org/v1",
            "kind": "PyTorchJob",
            "metadata": training.metadata(),
            "spec": {
                "runPolicy": {"cleanPodPolicy": "None", "backoffLimit": 3, "ttlSecondsAfterFinished": _KEPT},
                "pytorchReplicaSpecs": roles,
            },
        }
    ]


def make_train_job(training: Training) -> list[Manifest]:
    """A TrainJob of Kubeflow Trainer 2: the named runtime has the pods, this says what is other in them."""
    pod = _worker_pod(training)
    container = pod["containers"][0]
    overridden = {
        "volumes": pod["volumes"],
        "containers": [{"name": "node", "volumeMounts": container["volumeMounts"]}],
        **({"imagePullSecrets": pod["imagePullSecrets"]} if "imagePullSecrets" in pod else {}),
        **({"tolerations": pod["tolerations"]} if "tolerations" in pod else {}),
    }
    return [
        {
            "apiVersion": "trainer.kubeflow.org/v1alpha1",
            "kind": "TrainJob",
            "metadata": training.metadata(),
            "spec": {
                "runtimeRef": {"name": training.runtime},
                "trainer": {
                    "image": training.image,
                    "command": container.get("command", ["/usr/libexec/s2i/run"]),
                    "env": container["env"],
                    "numNodes": training.workers,
                    "resourcesPerNode": container["resources"],
                },
                "podTemplateOverrides": [{"targetJobs": [{"name": "node"}], "spec": overridden}],
            },
        }
    ]


def _worker_pod(
    training: Training, *, container: str = "train", extra: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A pod of several, in which torchrun starts the worker where that is asked for."""
    if not training.is_launched:
        return training_pod(training, container=container, extra=extra)
    own = [{"name": name, "value": value} for name, value in _LAUNCHERS_VARIABLES.items()]
    pod = training_pod(training, container=container, extra=[*own, *extra])
    pod["containers"][0]["command"] = list(_LAUNCHED)
    return pod


def _job_spec(training: Training, pod: dict[str, Any]) -> dict[str, Any]:
    """A pod that a node has lost is made again; a train function that raised fails the Job at once."""
    return {
        "backoffLimit": 3,
        "ttlSecondsAfterFinished": _KEPT,
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": "train", "operator": "NotIn", "values": [137, 143]},
                    "onPodConditions": [],  # Kubernetes 1.25 asks for the field
                },
            ]
        },
        "template": {"metadata": {"labels": training.labels}, "spec": pod},
    }


def _rendezvous(workers: int, first: str) -> list[dict[str, Any]]:
    index = {"valueFrom": {"fieldRef": {"fieldPath": _INDEX}}}
    plain = {
        "MASTER_ADDR": first,
        "MASTER_PORT": str(_RENDEZVOUS),
        "WORLD_SIZE": str(workers),
        "PET_NNODES": str(workers),
        "PET_NPROC_PER_NODE": "1",
        "PET_MASTER_ADDR": first,
        "PET_MASTER_PORT": str(_RENDEZVOUS),
    }
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        {"name": "RANK", **index},
        {"name": "PET_NODE_RANK", **index},
    ]
