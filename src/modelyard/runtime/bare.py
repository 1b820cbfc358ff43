"""Call every model's functions with its test instances, with nothing around them: no gateway, no queue, no batch.

`BARE=1` has the daemon image's run script start this in place of the supervisor. It starts the Python of each model's
own environment, with this module again, and prints `MODELYARD ANSWER {"route": ..., "status": ..., "answer": ...}` for
each route.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = "MODELYARD ANSWER "


def main(environ: Mapping[str, str]) -> int:
    """Call the functions of every model; return the exit code."""
    from modelyard.runtime.application import load_application, load_routes
    from modelyard.runtime.errors import ModelyardError
    from modelyard.runtime.processes import Site
    from modelyard.runtime.settings import load_settings
    from modelyard.runtime.supervisor import DEFAULT_ENVIRONMENTS, check_environments

    root = Path.cwd()
    try:
        application = load_application(root, environ)
        routes = {route.name: route for route in load_routes(environ)}
        environments = Path(environ.get("MODELYARD_ENVIRONMENTS") or DEFAULT_ENVIRONMENTS).absolute()
        site = Site(
            root=root, run_dir=root, environments=environments, settings=load_settings(environ), environ=environ
        )
        check_environments(site, application)
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    codes = []
    for model in application.models:
        called = [(route.name, route.module, route.function) for route in map(routes.__getitem__, model.routes)]
        path = None if model.path == "." else model.path
        about = json.dumps({"routes": called, "path": path, "instances": model.instances})
        command = [str(site.python(model.environment)), "-m", "modelyard.runtime.bare", about]
        codes.append(subprocess.run(command, cwd=root, env=site.child_environ(), check=False).returncode)
    return max(codes, key=abs, default=0)


def call_functions(about: Mapping[str, Any]) -> int:
    """Call the functions of one model, in its own environment."""
    from modelyard.runtime.failures import format_trace
    from modelyard.runtime.worker import answer, load_functions

    root = str(Path.cwd())
    sys.path[:] = [root, *(entry for entry in sys.path if entry not in ("", root))]
    if about["path"]:
        sys.path.append(str(Path(root, about["path"])))
    if about["instances"] is None:
        print("there are no test instances to call the model with", file=sys.stderr)
        return 1
    body = Path(root, about["instances"]).read_bytes()
    try:
        functions = load_functions(about["routes"])
    except BaseException as error:
        print(format_trace(error), file=sys.stderr, flush=True)
        return 1
    for route, function in functions.items():
        header, content = answer(function, body)
        if "log" in header:
            print(header["log"], file=sys.stderr, flush=True)
        said = json.loads(content) if header["status"] == 200 else header.get("detail")
        line = json.dumps({"route": route, "status": header["status"], "answer": said})
        print(f"\n{MARK}{line}", flush=True)
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONSAFEPATH", None)
    sys.exit(call_functions(json.loads(sys.argv[1])) if len(sys.argv) > 1 else main(os.environ))
