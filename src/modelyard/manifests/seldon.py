"""A daemon as a unit of a SeldonDeployment, alone or in a graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelyard.errors import InputError
from modelyard.manifests.documents import Manifest
from modelyard.manifests.pods import Contact, serving_pod
from modelyard.manifests.workload import Serving, Workload

UnitType = Literal["MODEL", "TRANSFORMER", "OUTPUT_TRANSFORMER", "ROUTER", "COMBINER"]
_OUTERMOST: tuple[UnitType, ...] = ("OUTPUT_TRANSFORMER", "TRANSFORMER", "ROUTER", "COMBINER", "MODEL")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A daemon, and what it does in the graph."""

    serving: Serving
    type: UnitType = "MODEL"


def make_seldon_deployment(units: Sequence[Unit], *, name: str | None = None) -> list[Manifest]:
    """One predictor whose graph has every unit, each in a pod of its own."""
    first = units[0].serving
    whole = Workload(name=name or first.name, title=first.title, image=first.image, namespace=first.namespace)
    return [
        {
            "apiVersion": "machinelearning.seldon.io/v1",
            "kind": "SeldonDeployment",
            "metadata": whole.metadata(),
            "spec": {
                "protocol": "seldon",
                "predictors": [
                    {
                        "name": "default",
                        "annotations": {"seldon.io/rest-timeout": _longest(units)},
                        "graph": _graph(units),
                        "componentSpecs": [_component(unit.serving) for unit in units],
                    }
                ],
            },
        }
    ]


def _component(serving: Serving) -> dict[str, Any]:
    """A pod; the operator adds the port `http`, the one of metrics, and the PREDICTIVE_UNIT_ variables to it."""
    spec = serving_pod(serving, container=serving.name, contact=Contact(port=None))
    scaled = (
        {
            "hpaSpec": {
                "minReplicas": serving.replicas,
                "maxReplicas": serving.most_replicas,
                "metricsv2": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                    }
                ],
            }
        }
        if serving.most_replicas is not None
        else {"replicas": serving.replicas}
    )
    return {
        "metadata": {"labels": serving.labels},
        "spec": spec,
        **scaled,
        "pdbSpec": {"maxUnavailable": 1},
    }


def _graph(units: Sequence[Unit]) -> dict[str, Any]:
    """Nest the units: what changes answers is outside of what changes requests, that of what chooses or combines."""
    ordered = sorted(units, key=lambda unit: _OUTERMOST.index(unit.type))
    leaves = [_node(unit) for unit in ordered if unit.type == "MODEL"]
    inner = [unit for unit in ordered if unit.type != "MODEL"]
    _check(inner, leaves, units)
    children = leaves
    for unit in reversed(inner):
        children = [{**_node(unit), **({"children": children} if children else {})}]
    return children[0]


def _check(inner: Sequence[Unit], leaves: Sequence[object], units: Sequence[Unit]) -> None:
    """Raise InputError for what no graph can be made of."""
    choosing = [unit for unit in inner if unit.type in ("ROUTER", "COMBINER")]
    if choosing and not leaves:
        raise InputError(
            f"{choosing[0].serving.title} is a {choosing[0].type}, which needs models below it",
            hint="name them as well: modelyard manifests ROUTER MODEL MODEL --kind seldon --graph NAME",
        )
    if len(leaves) > 1 and not choosing:
        titles = ", ".join(unit.serving.title for unit in units if unit.type == "MODEL")
        raise InputError(
            f"nothing says which of {titles} a graph asks",
            hint="add a model directory whose class has route or aggregate; or leave out --graph: one deployment each",
        )


def _node(unit: Unit) -> dict[str, Any]:
    return {"name": unit.serving.name, "type": unit.type, "endpoint": {"type": "REST"}}


def _longest(units: Sequence[Unit]) -> str:
    """REQUEST_TIMEOUT in milliseconds: Seldon's own is shorter than a model may take."""
    timeouts = [unit.serving.settings.request_timeout for unit in units]
    return str(int(max(max([one.default, *one.by_route.values()]) for one in timeouts) * 1000))
