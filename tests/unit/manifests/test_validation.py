import pytest

pytest.importorskip("kubernetes_validate", reason="not installed here: pip install 'modelyard[kubernetes]'")

from benchmarks.typos import TYPOS, finds_typo, render
from modelyard.errors import InputError
from modelyard.manifests.deployment import make_deployment
from modelyard.manifests.documents import write_documents
from modelyard.manifests.kserve import make_inference_service, make_serving_runtime
from modelyard.manifests.seldon import Unit, make_seldon_deployment
from modelyard.manifests.training import (
    make_cron_job,
    make_indexed_job,
    make_job,
    make_pytorch_job,
    make_train_job,
)
from modelyard.manifests.validation import check_all, choose_version, find_faults, known_versions
from modelyard.manifests.workload import Models

NEWEST = known_versions()[-1]
POD = {"containers": [{"name": "model", "image": "a"}]}


def faults(manifest, version=NEWEST):
    return [str(fault) for fault in find_faults([manifest], version=version)]


@pytest.mark.parametrize("typo", TYPOS)
def test_a_typo_is_found(typo):
    right, wrong = TYPOS[typo]
    text = write_documents(render("income-rf"))
    assert not finds_typo(text)
    assert right in text
    assert finds_typo(text.replace(right, wrong, 1))


@pytest.mark.parametrize("version", known_versions())
def test_every_version_takes_every_object(version, everything, make_serving, make_training):
    units = [Unit(serving=make_serving(most_replicas=3))]
    objects = [
        *(one for serving in everything for one in make_deployment(serving)),
        *(one for serving in everything for one in make_inference_service(serving)),
        *make_serving_runtime(make_serving(tokens_secret="t"), {"income/rf": "rf:income.predict:predict"}),
        *make_seldon_deployment(units),
        *make_job(make_training()),
        *make_cron_job(make_training(schedule="0 3 * * *")),
        *make_indexed_job(make_training(workers=3)),
        *make_pytorch_job(make_training(workers=3)),
        *make_train_job(make_training(workers=3)),
    ]
    check_all(objects, version=version)


def test_models_of_an_image_are_an_error_where_the_cluster_is_older_than_them(make_serving):
    objects = make_deployment(make_serving(models=Models(kind="oci", reference="a/b@sha256:1")))
    check_all(objects, version=NEWEST)
    with pytest.raises(InputError, match=r"volumes\[1\]\.image: there is no such field"):
        check_all(objects, version="1.25")


def test_a_mistake_is_named_with_its_path():
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {
            "replica": 1,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "imag": "b"}]}},
        },
    }
    assert faults(manifest) == [
        "Deployment/a: spec.replica: there is no such field; did you mean replicas?",
        "Deployment/a: spec.template.spec.containers[0].imag: there is no such field; did you mean image?",
    ]


def test_a_cluster_older_than_a_kind_says_where_the_kind_is():
    manifest = {"apiVersion": "autoscaling/v2beta2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"}}
    assert "there it is in autoscaling/v1, autoscaling/v2" in faults(manifest)[0]
    old = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy"}
    assert "ValidatingAdmissionPolicy" in faults(old, "1.25")[0]


def test_an_unknown_kind_is_an_error_with_what_was_meant():
    assert "did you mean Deployment?" in faults({"apiVersion": "apps/v1", "kind": "Deploymnt"})[0]
    assert "no apiVersion and kind" in faults({"a": 1})[0]


@pytest.mark.parametrize(
    ("api", "kind", "spec", "said"),
    [
        (
            "machinelearning.seldon.io/v1",
            "SeldonDeployment",
            {"predictors": [{"name": "a", "graph": {"name": "m", "type": "MODEl"}, "componentSpecs": [{"spec": POD}]}]},
            "spec.predictors[0].graph.type: 'MODEl' is none of",
        ),
        (
            "machinelearning.seldon.io/v1",
            "SeldonDeployment",
            {"predictors": [{"name": "a", "graph": {"name": "m"}, "componentSpec": [{"spec": POD}]}]},
            "spec.predictors[0].componentSpec: there is no such field; did you mean componentSpecs?",
        ),
        (
            "serving.kserve.io/v1beta1",
            "InferenceService",
            {"predictor": {"minReplica": 1, **POD}},
            "spec.predictor.minReplica: there is no such field; did you mean minReplicas?",
        ),
        (
            "serving.kserve.io/v1beta1",
            "InferenceService",
            {"predictor": {"containers": [{"name": "a", "port": []}]}},
            "spec.predictor.containers[0].port: there is no such field; did you mean ports?",
        ),
        (
            "kubeflow.org/v1",
            "PyTorchJob",
            {"pytorchReplicaSpecs": {"Master": {"template": {"spec": {"containers": [{"nam": "a"}]}}}}},
            "spec.pytorchReplicaSpecs.Master.template.spec.containers[0].nam: there is no such field",
        ),
        (
            "trainer.kubeflow.org/v1alpha1",
            "TrainJob",
            {"runtimeRef": {"name": "a", "kind": "Runtime"}},
            "spec.runtimeRef.kind: 'Runtime' is none of TrainingRuntime, ClusterTrainingRuntime",
        ),
    ],
)
def test_kinds_that_are_not_kubernetes_own_are_strict_as_well(api, kind, spec, said):
    found = faults({"apiVersion": api, "kind": kind, "metadata": {"name": "a"}, "spec": spec})
    assert any(said in fault for fault in found), found


def test_a_version_without_schemas_is_an_error():
    assert choose_version("v1.30") == "1.30"
    with pytest.raises(InputError, match=r"schemas of 1\.25 to"):
        choose_version("1.9")
