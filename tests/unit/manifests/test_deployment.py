import pytest

from modelyard.errors import InputError
from modelyard.manifests.deployment import make_deployment
from modelyard.manifests.measured import Measured, measure, read_measured, write_measured
from modelyard.manifests.training import make_indexed_job, make_job
from modelyard.manifests.workload import Models, choose_resources, parse_models
from modelyard.runtime.daemon.settings import load_settings


def kinds(manifests):
    return [one["kind"] for one in manifests]


def find(manifests, kind):
    return next(one for one in manifests if one["kind"] == kind)


def pod_of(manifest):
    return manifest["spec"]["template"]["spec"]


def assert_restricted(pod):
    """The restricted level of https://kubernetes.io/docs/concepts/security/pod-security-standards/."""
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "runAsUser" not in pod["securityContext"]  # any uid
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret", "image"}
    assert all((one.keys() - {"name"}) <= allowed for one in pod["volumes"])
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["privileged"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"] is True


def test_every_pod_passes_the_restricted_level(everything, make_training):
    pods = [pod_of(find(make_deployment(serving), "Deployment")) for serving in everything]
    pods += [pod_of(make_job(make_training())[0]), pod_of(make_indexed_job(make_training(workers=2))[1])]
    for pod in pods:
        assert_restricted(pod)
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False


def test_a_daemon_has_what_stands_around_it(make_serving):
    assert kinds(make_deployment(make_serving())) == [
        "ConfigMap",
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "NetworkPolicy",
    ]
    many = make_serving(most_replicas=5, host="a.example", monitor="pod")
    assert kinds(make_deployment(many))[-3:] == ["HorizontalPodAutoscaler", "Ingress", "PodMonitor"]
    other = make_serving(most_replicas=5, prometheus="http://p", host="a.example", gateway="g", monitor="service")
    assert kinds(make_deployment(other))[-3:] == ["ScaledObject", "HTTPRoute", "ServiceMonitor"]


def test_a_pod_may_take_five_times_what_was_measured_to_start(make_serving):
    assert make_serving().startup_seconds == 150
    container = pod_of(find(make_deployment(make_serving()), "Deployment"))["containers"][0]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 150
    assert probe["httpGet"]["path"] == container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_a_quick_model_gets_a_minute(make_serving, measured):
    quick = Measured(name="a", load_seconds={"a": 0.2}, workers={}, memory_bytes=1)
    assert make_serving(measured=quick).startup_seconds == 60


def test_what_was_not_measured_may_take_what_the_daemon_allows(make_serving):
    settings = load_settings({"LOAD_TIMEOUT": "100"})
    models = {"a": "x/a", "b": "x/b", "c": "x/a"}
    serving = make_serving(measured=None, settings=settings, route_models=models)
    assert serving.startup_seconds == 200
    deployment = find(make_deployment(serving), "Deployment")
    assert deployment["spec"]["progressDeadlineSeconds"] == 600
    slow = make_serving(measured=None, route_models=models)
    assert find(make_deployment(slow), "Deployment")["spec"]["progressDeadlineSeconds"] == 1260


def test_a_pod_ends_later_than_its_daemon(make_serving):
    pod = pod_of(find(make_deployment(make_serving(settings=load_settings({"STOP_TIMEOUT": "90"}))), "Deployment"))
    assert pod["terminationGracePeriodSeconds"] == 100
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]


def test_memory_comes_from_what_was_measured_or_said(measured):
    found = choose_resources(cpu="1", memory=None, gpus=0, measured=measured, buffered=256 << 20)
    assert (found.memory_request, found.memory_limit) == ("512Mi", "896Mi")
    assert choose_resources(cpu="1", memory="2Gi", gpus=0, measured=measured).memory_limit == "2Gi"
    assert choose_resources(cpu="1", memory=None, gpus=0, measured=None).memory_limit is None


def test_a_scaler_says_how_many_pods_there_are(make_serving):
    assert find(make_deployment(make_serving()), "Deployment")["spec"]["replicas"] == 1
    assert "replicas" not in find(make_deployment(make_serving(most_replicas=3)), "Deployment")["spec"]


def test_other_settings_start_other_pods(make_serving):
    def annotations(**environment):
        return find(make_deployment(make_serving(environment=environment)), "Deployment")["spec"]["template"][
            "metadata"
        ]

    assert annotations(A="1") != annotations(A="2")
    assert annotations(A="1") == annotations(A="1")


def test_a_tag_is_pulled_again_and_a_digest_is_not(make_serving):
    def policy(image):
        deployment = find(make_deployment(make_serving(image=image)), "Deployment")
        return pod_of(deployment)["containers"][0]["imagePullPolicy"]

    assert policy("a/b:v1") == "Always"
    assert policy("a/b@sha256:1") == "IfNotPresent"


def test_the_same_image_gets_models_from_s3(make_serving):
    serving = make_serving(models=Models(kind="s3", reference="s3://b/income/", secret="aws"))
    pod = pod_of(find(make_deployment(serving), "Deployment"))
    init = pod["initContainers"][0]
    assert init["image"] == pod["containers"][0]["image"]
    assert init["args"] == ["s3://b/income/", "/action/models"]
    named = {one["name"]: one["valueFrom"]["secretKeyRef"]["name"] for one in init["env"] if "valueFrom" in one}
    assert set(named.values()) == {"aws"}
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"} <= named.keys()


def test_pods_of_one_training_find_the_first_one_by_its_name(make_training):
    service, job = make_indexed_job(make_training(workers=4))
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    spec = job["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (4, 4, "Indexed")
    pod = spec["template"]["spec"]
    variables = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert variables["MASTER_ADDR"] == "income-rf-train-0.income-rf-train"
    assert variables["WORLD_SIZE"] == variables["PET_NNODES"] == "4"
    assert variables["TRAIN"] == "1"


def test_what_a_daemon_told_is_kept_and_read_again(tmp_path):
    routes = {
        "name": "income/all",
        "routes": [
            {"model": "income/a", "route": "a", "state": "ready", "load_seconds": 1.5, "workers": 1},
            {"model": "income/b", "route": "b", "state": "ready", "load_seconds": 2.5, "workers": 2},
            {"model": "income/b", "route": "b/again", "state": "ready", "load_seconds": 2.5, "workers": 2},
        ],
    }
    metrics = (
        'modelyard_resident_memory_bytes{process="gateway",model=""} 1e+08\n'
        'modelyard_resident_memory_bytes{process="worker",model="income/a"} 50000000\n'
    )
    found = measure(routes, metrics)
    assert (found.seconds, found.memory_bytes, found.workers_variable) == (4.0, 150_000_000, "1,b=2")
    write_measured(tmp_path / "measured.json", found)
    assert read_measured(tmp_path / "measured.json") == found
    assert read_measured(tmp_path / "none") is None


def test_a_daemon_that_is_not_ready_can_not_be_measured():
    routes = {"name": "a", "routes": [{"model": "a", "route": "a", "state": "loading", "load_seconds": None}]}
    with pytest.raises(InputError, match="a is loading"):
        measure(routes, "")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "a", "load_seconds": {"a": "x"}, "workers": {}}', "{" * 9])
def test_a_spoilt_measurement_is_an_error_that_names_the_file(text, tmp_path):
    (tmp_path / "measured.json").write_text(text)
    with pytest.raises(InputError, match=r"measured\.json"):
        read_measured(tmp_path / "measured.json")


@pytest.mark.parametrize("text", ["", "pvc", "pvc:", "baked:a", "s3", "http://a", "nfs:a"])
def test_what_is_no_place_for_models_is_an_error(text):
    with pytest.raises(InputError, match="--models"):
        parse_models(text)
