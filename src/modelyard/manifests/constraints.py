"""What the published schemas of Kubernetes say in prose only: enums, forms and ranges, each by type and field.

From the API reference (kubernetes.io/docs/reference/kubernetes-api), and the validation that an API server does.
"""

from collections.abc import Mapping
from typing import Any

_CORE = "io.k8s.api.core.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."


def _enum(*values: str) -> dict[str, Any]:
    return {"enum": [*values, None]}


ENUMS: Mapping[str, Mapping[str, Any]] = {
    f"{_CORE}Container/imagePullPolicy": _enum("Always", "IfNotPresent", "Never"),
    f"{_CORE}Container/restartPolicy": _enum("Always", "Never", "OnFailure"),
    f"{_CORE}Container/terminationMessagePolicy": _enum("File", "FallbackToLogsOnError"),
    f"{_CORE}ImageVolumeSource/pullPolicy": _enum("Always", "IfNotPresent", "Never"),
    f"{_CORE}ContainerPort/protocol": _enum("TCP", "UDP", "SCTP"),
    f"{_CORE}ServicePort/protocol": _enum("TCP", "UDP", "SCTP"),
    f"{_CORE}ServiceSpec/type": _enum("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
    f"{_CORE}ServiceSpec/sessionAffinity": _enum("None", "ClientIP"),
    f"{_CORE}ServiceSpec/externalTrafficPolicy": _enum("Cluster", "Local"),
    f"{_CORE}ServiceSpec/internalTrafficPolicy": _enum("Cluster", "Local"),
    f"{_CORE}ServiceSpec/ipFamilyPolicy": _enum("SingleStack", "PreferDualStack", "RequireDualStack"),
    f"{_CORE}HTTPGetAction/scheme": _enum("HTTP", "HTTPS"),
    f"{_CORE}PodSpec/restartPolicy": _enum("Always", "OnFailure", "Never"),
    f"{_CORE}PodSpec/dnsPolicy": _enum("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    f"{_CORE}PodSpec/preemptionPolicy": _enum("PreemptLowerPriority", "Never"),
    f"{_CORE}PodSecurityContext/fsGroupChangePolicy": _enum("OnRootMismatch", "Always"),
    f"{_CORE}SeccompProfile/type": _enum("RuntimeDefault", "Localhost", "Unconfined"),
    f"{_CORE}AppArmorProfile/type": _enum("RuntimeDefault", "Localhost", "Unconfined"),
    f"{_CORE}Toleration/operator": _enum("Exists", "Equal", "Lt", "Gt"),
    f"{_CORE}Toleration/effect": _enum("NoSchedule", "PreferNoSchedule", "NoExecute"),
    f"{_CORE}TopologySpreadConstraint/whenUnsatisfiable": _enum("DoNotSchedule", "ScheduleAnyway"),
    f"{_CORE}NodeSelectorRequirement/operator": _enum("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"),
    f"{_META}LabelSelectorRequirement/operator": _enum("In", "NotIn", "Exists", "DoesNotExist"),
    f"{_CORE}EmptyDirVolumeSource/medium": _enum("", "Memory", "HugePages", "HugePages-1Gi", "HugePages-2Mi"),
    f"{_CORE}PersistentVolumeClaimSpec/accessModes": _enum(
        "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"
    ),
    f"{_CORE}PersistentVolumeClaimSpec/volumeMode": _enum("Filesystem", "Block"),
    "io.k8s.api.apps.v1.DeploymentStrategy/type": _enum("RollingUpdate", "Recreate"),
    "io.k8s.api.batch.v1.JobSpec/completionMode": _enum("NonIndexed", "Indexed"),
    "io.k8s.api.batch.v1.JobSpec/podReplacementPolicy": _enum("TerminatingOrFailed", "Failed"),
    "io.k8s.api.batch.v1.CronJobSpec/concurrencyPolicy": _enum("Allow", "Forbid", "Replace"),
    "io.k8s.api.batch.v1.PodFailurePolicyRule/action": _enum("FailJob", "FailIndex", "Ignore", "Count"),
    "io.k8s.api.batch.v1.PodFailurePolicyOnExitCodesRequirement/operator": _enum("In", "NotIn"),
    "io.k8s.api.autoscaling.v2.MetricSpec/type": _enum("Resource", "ContainerResource", "Pods", "Object", "External"),
    "io.k8s.api.autoscaling.v2.MetricTarget/type": _enum("Utilization", "Value", "AverageValue"),
    "io.k8s.api.networking.v1.HTTPIngressPath/pathType": _enum("Exact", "Prefix", "ImplementationSpecific"),
    "io.k8s.api.networking.v1.NetworkPolicySpec/policyTypes": _enum("Ingress", "Egress"),
    "io.k8s.api.networking.v1.NetworkPolicyPort/protocol": _enum("TCP", "UDP", "SCTP"),
    "io.k8s.api.policy.v1.PodDisruptionBudgetSpec/unhealthyPodEvictionPolicy": _enum("IfHealthyBudget", "AlwaysAllow"),
}

_PORT = {"minimum": 1, "maximum": 65535}

RANGES: Mapping[str, Mapping[str, Any]] = {
    f"{_CORE}ContainerPort/containerPort": _PORT,
    f"{_CORE}ContainerPort/hostPort": {"minimum": 0, "maximum": 65535},
    f"{_CORE}ServicePort/port": _PORT,
    f"{_CORE}ServicePort/nodePort": {"minimum": 0, "maximum": 65535},
    f"{_CORE}PodSpec/terminationGracePeriodSeconds": {"minimum": 0},
    **{
        f"{_CORE}Probe/{field}": {"minimum": least}
        for field, least in {
            "periodSeconds": 1,
            "timeoutSeconds": 1,
            "failureThreshold": 1,
            "successThreshold": 1,
            "initialDelaySeconds": 0,
        }.items()
    },
    "io.k8s.api.apps.v1.DeploymentSpec/replicas": {"minimum": 0},
    "io.k8s.api.batch.v1.JobSpec/backoffLimit": {"minimum": 0},
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec/maxReplicas": {"minimum": 1},
}

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME: Mapping[str, Any] = {
    "pattern": rf"^{_LABEL}(\.{_LABEL})*$",
    "maxLength": 253,
    "$comment": "a name: lower-case letters, digits, '-' and '.'",
}
_DNS_LABEL: Mapping[str, Any] = {
    "pattern": rf"^{_LABEL}$",
    "maxLength": 63,
    "$comment": "an RFC 1123 label: lower-case letters, digits and '-'",
}
_LABEL_VALUE: Mapping[str, Any] = {
    "pattern": r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
    "maxLength": 63,
    "$comment": "a label's value: letters, digits, '-', '_' and '.', 63 at most",
}

PATTERNS: Mapping[str, Mapping[str, Any]] = {
    f"{_META}ObjectMeta/name": {**_NAME, "pattern": r"^[a-zA-Z0-9]([-a-zA-Z0-9:.]*[a-zA-Z0-9])?$"},  # RBAC's have more
    f"{_META}ObjectMeta/namespace": _DNS_LABEL,
    f"{_META}ObjectMeta/labels": _LABEL_VALUE,
    f"{_META}LabelSelector/matchLabels": _LABEL_VALUE,
    f"{_CORE}ServiceSpec/selector": _LABEL_VALUE,
    f"{_CORE}Container/name": _DNS_LABEL,
    f"{_CORE}Volume/name": _DNS_LABEL,
    f"{_CORE}ContainerPort/name": {**_DNS_LABEL, "maxLength": 15},
    f"{_CORE}ServicePort/name": _DNS_LABEL,
    f"{_CORE}EnvVar/name": {
        "pattern": r"^[ -<>-~]+$",
        "$comment": "a variable's name: printable, without '='",
    },
    "quantity": {
        "type": ["string", "number", "null"],
        "pattern": r"^[+-]?(\d+|\d+\.\d*|\.\d+)([KMGTPE]i|[mkMGTPE]|[eE][+-]?\d+|)$",
        "$comment": "a quantity: write 500m, 2, 512Mi or 2Gi",
    },
}
