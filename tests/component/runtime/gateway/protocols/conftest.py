"""The gateway's app in front of a real worker; tests of one module share the workers of the same functions."""

import os
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from modelyard.runtime.application import Application, Model
from modelyard.runtime.daemon.settings import Settings
from modelyard.runtime.daemon.status import ModelStatus, write_status
from modelyard.runtime.gateway.app import create_app
from tests.component.runtime.conftest import RunningWorker

Serve = Callable[..., FlaskClient]
READ_AT_LOAD = ("PREDICTIVE_UNIT_ID", "PREDICTIVE_UNIT_IMAGE", "PREDICTIVE_UNIT_PARAMETERS", "MODEL_METADATA")


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Serve the functions or classes of `predict.py`, a route each, as one model; settings by keyword.

    `client.run_dir` is where the model's status is written.
    """
    workers: dict[Any, RunningWorker] = {}
    with ExitStack() as stack:

        def find_worker(predict: str, names: tuple[str, ...], files: Mapping[str, str]) -> RunningWorker:
            key = (predict, names, *files.items(), *(os.environ.get(name) for name in READ_AT_LOAD))
            if key not in workers:
                root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="my-")))
                for name, text in {"predict.py": predict, **files}.items():
                    (root / name).write_text(textwrap.dedent(text))
                workers[key] = RunningWorker(root, root, [[name, "predict", name] for name in names], {})
                stack.callback(workers[key].close)
                news = workers[key].news()
                assert news["state"] == "ready", workers[key].printed()
            return workers[key]

        def start(predict: str, *names: str, files: Mapping[str, str] = {}, **settings: Any) -> FlaskClient:
            root = find_worker(predict, names, files).root
            for counters in root.glob("*.counters"):
                counters.unlink()
            write_status(root, [ModelStatus(name="m", state="ready")])
            models = (Model(name="m", routes=names, instances=next(iter(files), None)),)
            application = Application(name="m", kind="predict", models=models)
            app = create_app(application, root=root, run_dir=root, settings=Settings(**settings))
            stack.callback(app.extensions["fleet"].close)
            stack.callback(app.extensions["conversion"].close)
            client = app.test_client()
            client.run_dir = root
            return client

        yield start
