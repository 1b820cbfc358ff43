import pytest

from modelyard.engines.kubernetes.causes import find_cause
from modelyard.engines.kubernetes.refusals import explain


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            'Error from server (Forbidden): deployments.apps "income-rf" is forbidden: User "dev" cannot patch '
            'resource "deployments" in API group "apps" in the namespace "models"',
            "dev has no right to patch deployments.apps in the namespace models",
            "kubectl auth can-i patch deployments.apps -n models",
        ),
        (
            'Error from server (Forbidden): error when creating "STDIN": pods "a" is forbidden: exceeded quota: small, '
            "requested: limits.cpu=4, used: limits.cpu=7, limited: limits.cpu=8",
            "the quota small does not allow it: limits.cpu=4 asked for, limits.cpu=7 of limits.cpu=8 used",
            "kubectl describe quota",
        ),
        ('Error from server (NotFound): namespaces "models" not found', "the namespace models is not there", "create"),
        (
            'error: Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas\n'
            "Please review the fields above--they currently have other managers.",
            "kubectl-edit manages .spec.replicas as well",
            "--force-conflicts",
        ),
        (
            'error: resource mapping not found for name: "a" namespace: "" from "STDIN": no matches for kind '
            '"SeldonDeployment" in version "machinelearning.seldon.io/v1"\nensure CRDs are installed first',
            "this cluster has no SeldonDeployment (machinelearning.seldon.io/v1)",
            "--kind",
        ),
        ('error: context "prod" does not exist', "there is no context prod", "get-contexts"),
        (
            "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
            "the cluster can't be reached",
            "current-context",
        ),
        ("error: You must be logged in to the server (Unauthorized)", "the cluster does not know you", "log in"),
        ("something else", "kubectl apply -f failed:\n  something else", "by hand"),
    ],
)
def test_what_a_cluster_refuses_is_said_in_our_words(said, message, hint):
    error = explain(said, ["apply", "-f", "-"])
    assert message in error.message
    assert error.hint is not None and hint in error.hint


def pod(*, conditions=(), inits=(), containers=()):
    status = {"conditions": conditions, "initContainerStatuses": inits, "containerStatuses": containers}
    return {"metadata": {"name": "income-rf-1"}, "status": status}


def container(state, **more):
    return {"name": "daemon", "image": "a/b@sha256:1", "state": state, "ready": False, **more}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: Insufficient cpu."}]),
            "income-rf-1 finds no node: 0/3 nodes: Insufficient cpu.",
        ),
        (
            pod(containers=[container({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}})]),
            "a/b@sha256:1 can't be pulled: not found",
        ),
        (
            pod(containers=[container({"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "t"'}})]),
            'income-rf-1 can\'t be started: secret "t"',
        ),
        (
            pod(
                inits=[
                    {
                        **container({"waiting": {"reason": "CrashLoopBackOff"}}),
                        "lastState": {"terminated": {"exitCode": 9}},
                    }
                ]
            ),
            "daemon of income-rf-1 ended with 9",
        ),
        (
            pod(containers=[container({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})]),
            "daemon of income-rf-1 took more memory than its limit",
        ),
        (pod(containers=[container({"running": {}})]), "income-rf-1 runs and is not ready"),
    ],
)
def test_a_pod_that_does_not_start_has_a_cause(found, message):
    cause = find_cause([found])
    assert cause is not None
    assert cause.message == message


def test_the_log_of_a_container_that_ended_is_the_one_before():
    ended = container({"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": {"exitCode": 1}})
    cause = find_cause([pod(containers=[ended])])
    assert cause is not None
    assert (cause.log, cause.previous) == ("daemon", True)


def test_a_deployment_without_pods_says_what_its_replica_set_says():
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}
    cause = find_cause([], [failure])
    assert cause is not None
    assert cause.message == "no pod is made: exceeded quota: small"
    assert find_cause([]) is None
