"""How an application lies that our daemon serves as the builder image's run script starts it, without an image."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUN = ["bash", str(ROOT / "builders" / "daemon" / "s2i" / "bin" / "run")]


def lay_out(
    root: Path, models: Sequence[Mapping[str, Any]], *, prefix: str | Path, routes: str, port: int
) -> dict[str, str]:
    """Describe `models` in `root`, in the environment at `prefix`; return the variables with which RUN serves them.

    A model has a `name`, its `routes`, and the file of its test `instances`.
    """
    environments = root / "environments"
    environments.mkdir(parents=True)
    for name in ("default", "gateway"):
        (environments / name).symlink_to(prefix)
    entries = [{"path": ".", "environment": "default", **model} for model in models]
    document = {"schema": 1, "name": "benchmark", "kind": "predict", "models": entries}
    (root / ".s2i").mkdir()
    (root / ".s2i" / "application.json").write_text(json.dumps(document))
    return {
        "APP_ROOT": str(root),
        "MODELYARD_LIB": str(ROOT / "src"),
        "MODELYARD_ENVIRONMENTS": str(environments),
        "ROUTES": routes,
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
