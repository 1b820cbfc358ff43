"""Call every model's functions with its test instances, with nothing around them: no gateway, no queue, no batch.

`BARE=1` has the daemon image's run script start this in place of the supervisor. It starts the Python of each model's
own environment, with this module again, gets the answers from it by a pipe, and prints
`MODELYARD ANSWER {"route": ..., "status": ..., "answer": ...}` for each route: what the model prints, redirects or
leaves running is no part of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from modelyard.runtime.primitives import dump_json, end_process_after, load_json, write_all, write_log

MARK = "MODELYARD ANSWER "
_LAST_WORDS = 2.0


def main(environ: Mapping[str, str]) -> int:
    """Call the functions of every model; return the exit code."""
    from modelyard.runtime.application import load_application, load_routes
    from modelyard.runtime.daemon.settings import load_settings
    from modelyard.runtime.daemon.site import Site, check_environments, find_environments_folder
    from modelyard.runtime.errors import ModelyardError

    root = Path.cwd()
    try:
        application = load_application(root, environ)
        routes = {route.name: route for route in load_routes(environ)}
        environments = find_environments_folder(environ)
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
        command = [str(site.python(model.environment)), "-m", "modelyard.runtime.worker.bare", about]
        code, answers = ask_model(command, cwd=root, env=site.child_environ())
        for answer in answers:
            print(f"\n{MARK}{answer}", flush=True)
        codes.append(0 if len(answers) == len(called) else code or 1)
    return max(codes, key=abs, default=0)


def ask_model(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run the process of one model, which gets a pipe's descriptor as its last argument; its exit code and answers.

    A process that the model leaves behind may keep the pipe open: an empty line ends what is read of it.
    """
    reader, writer = os.pipe()
    process = subprocess.Popen([*command, str(writer)], cwd=cwd, env=env, pass_fds=[writer])

    def end_at_its_end() -> None:
        process.wait()
        write_all(writer, b"\n\n")
        os.close(writer)

    Thread(target=end_at_its_end).start()
    with os.fdopen(reader, encoding="utf-8") as lines:
        answers = [line.rstrip("\n") for line in iter(lines.readline, "\n")]
    return process.wait(), answers


def call_functions(about: Mapping[str, Any], answers: int) -> int:
    """Call the functions of one model, in its own environment; write a line for each to the descriptor `answers`."""
    from modelyard.runtime.beside import prefer_modules_beside
    from modelyard.runtime.failures import format_trace
    from modelyard.runtime.worker.answering import answer
    from modelyard.runtime.worker.loading import load_functions

    os.set_inheritable(answers, False)
    root = str(Path.cwd())
    sys.path[:] = [root, *(entry for entry in sys.path if entry not in ("", root))]
    if about["path"]:
        sys.path.append(str(Path(root, about["path"])))
    prefer_modules_beside(Path(root, about["path"] or ""), Path(root))
    if about["instances"] is None:
        write_log("there are no test instances to call the model with")
        return 1
    body = Path(root, about["instances"]).read_bytes()
    try:
        functions = load_functions(about["routes"])
    except BaseException as error:
        write_log(format_trace(error))
        return 1
    for route, function in functions.items():
        header, content = answer(function, body)
        if "log" in header:
            write_log(header["log"])
        said = load_json(content) if header["status"] == 200 else header.get("detail")
        line = dump_json({"route": route, "status": header["status"], "answer": said})
        write_all(answers, f"{line}\n".encode())
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONSAFEPATH", None)
    if len(sys.argv) == 1:
        sys.exit(main(os.environ))
    code = call_functions(json.loads(sys.argv[1]), int(sys.argv[2]))
    end_process_after(_LAST_WORDS)
    sys.exit(code)
