import json

import pytest

pytest.importorskip("kubernetes_validate", reason="not installed here: pip install 'modelyard[kubernetes]'")

from modelyard.commands.manifests import ManifestRequest, measured_path, render
from modelyard.commands.pinning import ImageChoice
from modelyard.commands.subject import find_subject
from modelyard.errors import InputError, ModelyardError
from modelyard.manifests.measured import Measured, write_measured
from tests.conftest import write_files
from tests.unit.commands.conftest import MODEL

PINNED = ImageChoice(image=f"registry.example/income/rf@sha256:{'0' * 64}")
ROUTER = """\
class Cheapest:
    def route(self, features, names):
        return 0
"""
OTHER = {
    "projects/income/lr/.s2i/environment": "ROUTES=income-lr:income.lr.predict:predict\nTRAIN_MODULE=income.lr.train\n",
    "projects/income/lr/predict.py": "def predict(msg):\n    return {}\n",
    "projects/income/cheapest/.s2i/environment": "ROUTES=cheapest:income.cheapest.Cheapest:Cheapest\n",
    "projects/income/cheapest/Cheapest.py": ROUTER,
    "projects/income/all/.s2i/environment": "ROUTES=income-rf:income.rf.predict:predict\n",
}


@pytest.fixture
def ask(workspace):
    write_files(workspace.root, OTHER)

    def make(*paths, **options):
        subjects = [find_subject(workspace, workspace.root / path) for path in paths or [MODEL]]
        chosen = {"kind": "deployment", "image": PINNED, **options}
        return ManifestRequest(workspace=workspace, subjects=subjects, **chosen)

    return make


def find(rendered, kind):
    return next(one for one in rendered.manifests if one["kind"] == kind)


def test_a_model_directory_is_called_by_its_container_name(ask):
    rendered = render(ask(), {})
    assert {one["metadata"]["name"] for one in rendered.manifests} == {"income-rf", "income-rf-settings"}
    settings = find(rendered, "ConfigMap")["data"]
    assert settings == {"MODEL_NAME": "income_rf", "MODElNAME": "income_rf", "MODELYARD_LOG": "json"}


def test_an_all_has_no_model_name(ask):
    rendered = render(ask("projects/income"), {})
    assert find(rendered, "ConfigMap")["data"] == {"MODELYARD_LOG": "json"}
    routes = find(rendered, "Deployment")["metadata"]["annotations"]["modelyard/routes"]
    assert routes.split() == ["cheapest", "income-lr", "income-rf"]


def test_what_was_not_measured_is_said_with_how_to(ask):
    (note,) = render(ask(), {}).notes
    assert "may take 600 s to start (LOAD_TIMEOUT), and its memory is not limited" in note
    assert "--measure http://127.0.0.1:5111" in note


def test_what_was_measured_is_used_and_nothing_is_said(ask):
    request = ask()
    measured = Measured(
        name="income/rf", load_seconds={"income/rf": 20}, workers={"income-rf": 2}, memory_bytes=100 << 20
    )
    write_measured(measured_path(request.subjects[0]), measured)
    rendered = render(request, {})
    container = find(rendered, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert rendered.notes == ()
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 100
    assert container["resources"]["requests"]["memory"] == "128Mi"
    assert find(rendered, "ConfigMap")["data"]["WORKERS"] == "1,income-rf=2"


def test_a_measurement_of_what_a_subject_is_no_more_is_an_error(ask):
    request = ask()
    measured = Measured(name="income/rf", load_seconds={"income/lr": 20}, workers={}, memory_bytes=None)
    write_measured(measured_path(request.subjects[0]), measured)
    with pytest.raises(InputError, match=r"measured\.json: was measured of income/lr"):
        render(request, {})


def test_a_tag_is_written_only_where_that_is_allowed(ask):
    tag = "localhost:1/income/rf:v1"
    rendered = render(ask(image=ImageChoice(image=tag, allow_tag=True)), {})
    assert find(rendered, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"] == tag
    with pytest.raises(ModelyardError, match="is a tag, and what it names can't be found out") as caught:
        render(ask(image=ImageChoice(image=tag)), {})
    assert "--allow-tag" in str(caught.value.hint)


def test_images_of_many_are_called_as_make_push_calls_them(ask):
    choice = ImageChoice(registry="registry.example/income", tag="v1", allow_tag=True)
    rendered = render(ask(MODEL, "projects/income/lr", image=choice), {})
    images = [
        one["spec"]["template"]["spec"]["containers"][0]["image"]
        for one in rendered.manifests
        if one["kind"] == "Deployment"
    ]
    assert images == [
        "registry.example/income/income-rf-predict:v1",
        "registry.example/income/income-lr-predict:v1",
    ]


def test_two_that_would_be_called_alike_are_an_error_that_names_both(ask, workspace):
    write_files(workspace.root, {"projects/income/lr/Makefile": "CONTAINER_NAME = income-rf\n"})
    choice = ImageChoice(registry="registry.example/income", allow_tag=True)
    with pytest.raises(InputError, match="income/rf and income/lr would both be called 'income-rf'"):
        render(ask(MODEL, "projects/income/lr", image=choice), {})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image": ImageChoice()}, "which image of income/rf"),
        ({"name": "Income_RF"}, "--name: 'Income_RF' is no name"),
        ({"namespace": "My Models"}, "--namespace: 'My Models'"),
        ({"kind": "cronjob", "models": "pvc:a"}, "--kind cronjob needs --schedule"),
        ({"schedule": "0 3 * * *"}, "--kind deployment has no --schedule"),
        ({"kind": "cronjob", "schedule": "at night"}, "--schedule 'at night' is no schedule"),
        ({"kind": "kserve", "host": "a.example"}, "--host has no place in --kind kserve"),
        ({"kind": "job", "most_replicas": 3}, "--max-replicas has no place in --kind job"),
        ({"kind": "job", "workers": 3}, "--workers has no place in --kind job"),
        ({"payload": {}}, "--payload has no place in --kind deployment"),
        ({"graph": "a"}, "--graph is of --kind seldon"),
        ({"prometheus": "http://p"}, "--prometheus says what to scale by"),
        ({"replicas": 3, "most_replicas": 2}, "--max-replicas 2 is less"),
        ({"tls_secret": "a"}, "--tls a: of which host"),
        ({"models": "nfs:a"}, "--models nfs:a"),
        ({"environment": {"WORKERS": "many"}}, "option -e: WORKERS"),
        ({"kind": "job"}, "would be lost with its pod"),
        ({"kind": "job", "models": "pvc:a"}, "learns from data/adult.csv"),
        ({"kind": "job", "models": "pvc:a", "data": "s3://b/c"}, "--data s3://b/c"),
    ],
)
def test_what_makes_no_sense_is_an_error_that_says_what(ask, options, said):
    with pytest.raises(InputError) as caught:
        render(ask(**options), {})
    assert said in caught.value.message


def test_a_training_gets_its_payload_and_its_claims(ask):
    rendered = render(ask(kind="job", models="pvc:income-models", data="pvc:income-data"), {})
    job = find(rendered, "Job")
    assert job["metadata"]["name"] == "income-rf-train"
    pod = job["spec"]["template"]["spec"]
    variables = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
    assert json.loads(variables["PAYLOAD"]) == {"$ref": "data/adult.csv", "model_name": "income_rf"}
    assert [one.get("persistentVolumeClaim", {}).get("claimName") for one in pod["volumes"]][2:] == [
        "income-data",
        "income-models",
    ]


def test_workers_of_kubeml_are_started_by_torchrun(ask, workspace):
    def container(kind, **options):
        rendered = render(ask(kind=kind, models="pvc:a", data="pvc:b", **options), {})
        return find(rendered, "Job")["spec"]["template"]["spec"]["containers"][0]

    assert "command" not in container("indexed-job", workers=2)
    write_files(
        workspace.root, {f"{MODEL}/train.py": "from kubeml import KubeModel\n\ndef train(msg):\n    return {}\n"}
    )
    assert "command" not in container("job")
    launched = container("indexed-job", workers=2)
    variables = {one["name"]: one.get("value") for one in launched["env"]}
    assert launched["command"][1:] == ["-m", "torch.distributed.run", "-m", "kubeml"]
    assert (variables["PET_NNODES"], variables["PET_MASTER_ADDR"]) == ("2", "income-rf-train-0.income-rf-train")
    (made,) = render(ask(kind="trainjob", models="pvc:a", data="pvc:b", workers=2), {}).manifests
    assert made["spec"]["trainer"]["command"] == launched["command"]


def test_an_all_that_is_not_generated_yet_says_how_to(ask, workspace):
    request = ask("projects/income")
    (workspace.root / "projects/income/all/.s2i/environment").unlink()
    with pytest.raises(InputError, match="is not generated yet"):
        render(request, {})


def test_an_all_trains_nothing(ask):
    with pytest.raises(InputError, match="trains one model"):
        render(ask("projects/income", kind="job", models="pvc:a"), {})


def test_an_all_is_a_runtime_of_many_services(ask):
    rendered = render(ask("projects/income", kind="kserve"), {})
    assert [one["kind"] for one in rendered.manifests] == ["ServingRuntime", *["InferenceService"] * 3]
    service = next(one for one in rendered.manifests if one["metadata"]["name"] == "income-rf")
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == rendered.manifests[0]["metadata"]["name"]
    assert model["env"] == [{"name": "ROUTES", "value": "income-rf:income.rf.predict:predict"}]


def test_a_graph_nests_a_router_over_its_models(ask):
    choice = ImageChoice(registry="registry.example/income", allow_tag=True)
    paths = (MODEL, "projects/income/lr", "projects/income/cheapest")
    (made,) = render(ask(*paths, kind="seldon", graph="income", image=choice), {}).manifests
    assert made["metadata"]["name"] == "income"
    predictor = made["spec"]["predictors"][0]
    graph = predictor["graph"]
    assert (graph["name"], graph["type"]) == ("income-cheapest", "ROUTER")
    assert [(one["name"], one["type"]) for one in graph["children"]] == [("income-rf", "MODEL"), ("income-lr", "MODEL")]
    containers = [one["spec"]["containers"][0]["name"] for one in predictor["componentSpecs"]]
    assert sorted(containers) == ["income-cheapest", "income-lr", "income-rf"]


def test_models_alone_are_no_graph_and_a_router_alone_neither(ask):
    choice = ImageChoice(registry="registry.example/income", allow_tag=True)
    with pytest.raises(InputError, match="nothing says which of income/rf, income/lr"):
        render(ask(MODEL, "projects/income/lr", kind="seldon", graph="a", image=choice), {})
    with pytest.raises(InputError, match="income/cheapest is a ROUTER, which needs models"):
        render(ask("projects/income/cheapest", kind="seldon", image=choice), {})


def test_seldon_asks_an_all_for_one_route(ask):
    with pytest.raises(InputError, match="without naming a route, and it has 3"):
        render(ask("projects/income", kind="seldon"), {})
    chosen = ask("projects/income", kind="seldon", environment={"DEFAULT_ROUTE": "income-rf"})
    (made,) = render(chosen, {}).manifests
    container = made["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]
    assert "ports" not in container  # the operator's
    assert {"name": "DEFAULT_ROUTE", "value": "income-rf"} in container["env"]
