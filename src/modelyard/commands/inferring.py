"""Ask a trained model once: it is served for one request, and stopped."""

import json
import secrets
from http.client import HTTPException
from pathlib import Path
from typing import Any

from modelyard.commands.building import BuildRequest
from modelyard.commands.reporter import Reporter
from modelyard.commands.serving import ServeRequest, serve
from modelyard.engines.parts import require_runner
from modelyard.engines.ports import choose_port
from modelyard.engines.protocols import Engine, Remover
from modelyard.errors import EndpointError, InputError
from modelyard.workspace import ModelDirectory, Workspace

_TIMEOUT = 600.0


def infer(
    workspace: Workspace, model: ModelDirectory, model_name: str, data: Any, engine: Engine, reporter: Reporter
) -> Any:
    """Answer what the model of that name makes of `data`, a list of instances."""
    runner = require_runner(engine)
    if not model.served_routes:
        raise InputError(f"{model.environment.source}: no route to ask", hint="set ROUTES, or PREDICT_MODULE")
    request = ServeRequest(
        build=BuildRequest(workspace=workspace, subject=model, kind="predict"),
        port=choose_port("127.0.0.1", 0),
        name=f"infer-{secrets.token_hex(4)}",
        model_name=model_name,
    )
    container = serve(request, engine, reporter)
    try:
        body = json.dumps({"instances": data}).encode()
        status, answer = request.endpoint.request("POST", f"/{model.served_routes[0].name}", body, timeout=_TIMEOUT)
    except (OSError, HTTPException) as error:
        raise EndpointError(f"{model.full_name}: no answer ({error or type(error).__name__})") from None
    finally:
        runner.stop(container.name)
        if isinstance(engine, Remover):
            engine.remove_container(container.name)
    if status != 200:
        detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
        raise EndpointError(
            f"{model.full_name}: answered {status}: {detail}", hint="is the data file what infer takes?"
        )
    return answer


def read_data(path: Path) -> list[Any]:
    """The instances of a file: a list, as JSON."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: no JSON ({error})") from None
    if not isinstance(content, list):
        raise InputError(f"{path}: holds no list of instances", hint="write [[...], [...]]")
    return content
