"""Mistakes that people make in Kubernetes objects, for the benchmark of manifests and for their tests."""

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
