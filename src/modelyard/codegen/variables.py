"""The environment of a combined application: every route, and the variables on which the models agree."""

from collections.abc import Iterable, Iterator, Sequence

from modelyard.errors import InputError
from modelyard.probe.model import where
from modelyard.runtime.routes import format_routes
from modelyard.workspace import ModelDirectory, Workspace

# What is one model's own: ROUTES say it for a combined daemon, training is not its business, and it has no one model.
_PER_MODEL = frozenset({"ROUTES", "PREDICT_MODULE", "PREDICT_FUNCTION", "MODEL_NAME", "MODElNAME"})


def plan_variables(models: Sequence[ModelDirectory]) -> dict[str, str]:
    """ROUTES of all models as written, in order, then their other variables by name."""
    routes = format_routes(route for model in models for route in model.served_routes)
    shared = {key: model.environment[key] for model in models for key in _shared_keys(model)}
    return {"ROUTES": routes, **dict(sorted(shared.items()))}


def find_disagreements(workspace: Workspace, models: Iterable[ModelDirectory]) -> Iterator[InputError]:
    """Yield an error for each variable that two models set to different values."""
    setters: dict[str, ModelDirectory] = {}
    for model in models:
        for key in _shared_keys(model):
            first = setters.setdefault(key, model)
            value, other = model.environment[key], first.environment[key]
            if value != other:
                yield InputError(
                    f"{where(model, key, root=workspace.root)}: sets {key} to {value!r}, "
                    f"but {where(first, key, root=workspace.root)} sets it to {other!r}",
                    hint="one daemon has one environment: agree on a value, or rename one of the two variables",
                )


def _shared_keys(model: ModelDirectory) -> list[str]:
    return [key for key in model.environment if key not in _PER_MODEL and not key.startswith("TRAIN_")]
