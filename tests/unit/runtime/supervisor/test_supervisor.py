import dataclasses
import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelyard.runtime.application import Application, Model
from modelyard.runtime.daemon import settings as settings_module
from modelyard.runtime.daemon.logs import JSONFormatter, TextFormatter, fields
from modelyard.runtime.daemon.settings import Settings, count_workers, load_settings
from modelyard.runtime.daemon.site import LIBRARY, Site
from modelyard.runtime.daemon.status import ModelStatus, read_status, write_status
from modelyard.runtime.errors import InputError
from modelyard.runtime.supervisor.lines import LineBuffer
from modelyard.runtime.supervisor.listening import ListenError, bind
from modelyard.runtime.supervisor.processes import Process, describe_exit
from modelyard.runtime.supervisor.run_dir import open_run_dir
from modelyard.runtime.supervisor.supervisor import find_shared_environments


def test_every_setting_has_a_variable_and_the_variables_work() -> None:
    environ = {
        "HOST": "127.0.0.1",
        "PORT": "0",
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": "6000",
        "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus",
        "GATEWAY_WORKERS": "2",
        "GATEWAY_THREADS": "3",
        "REQUEST_TIMEOUT": "0.5",
        "QUEUE_SIZE": "4",
        "MAX_BODY": "5",
        "MAX_BUFFERED": "6M",
        "READY": "any",
        "STOP_TIMEOUT": "6",
        "BATCH_SIZE": "7,rf=8",
        "DEFAULT_ROUTE": "rf",
        "BATCH_WAIT": "0",
        "WORKERS": "2,rf=0",
        "MEMORY_LIMIT": "5,rf=2G",
        "LOAD_TIMEOUT": "11",
        "LOAD_AT_ONCE": "12",
        "PRELOAD": "0",
        "HEADER_TIMEOUT": "7",
        "BODY_TIMEOUT": "8",
        "KEEPALIVE": "9",
        "BATCH_TOLERANCE": "0.25",
        "MODELYARD_LOG": "json",
        "MODELYARD_ACCESS_LOG": "1",
        "MODELYARD_LOG_PAYLOAD": "1",
        "MODELYARD_TOKENS": "/tokens",
    }
    loaded = load_settings(environ)
    assert (loaded.batch_size["x"], loaded.batch_size["rf"]) == (7, 8)
    names = [field.name for field in dataclasses.fields(Settings)]
    assert [name for name in names if getattr(loaded, name) == getattr(Settings(), name)] == []
    source = Path(settings_module.__file__).read_text()
    assert set(re.findall(r'"""([A-Z_]+)(?:, by route)?: ', source)) == set(environ)


def test_empty_variables_count_as_not_set() -> None:
    assert load_settings({"PORT": "", "READY": "", "REQUEST_TIMEOUT": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("QUEUE_SIZE", "0"),
        ("GATEWAY_THREADS", "1.5"),
        ("REQUEST_TIMEOUT", "0"),
        ("REQUEST_TIMEOUT", "nan"),
        ("STOP_TIMEOUT", "soon"),
        ("READY", "some"),
        ("MODELYARD_LOG", "xml"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"^{name} is '{re.escape(value)}'"):
        load_settings({name: value})


def test_a_wrong_setting_of_one_route_is_named_with_the_route() -> None:
    with pytest.raises(InputError, match=r"^WORKERS of 'a' is '-1', not a whole number from 0 on") as error:
        load_settings({"WORKERS": "1,a=-1"})
    assert error.value.hint == "write 0, or more"


@pytest.mark.parametrize(("cores", "models", "workers"), [(2, 1, 1), (8, 1, 4), (16, 4, 2), (4, 50, 1), (64, 1, 4)])
def test_workers_fit_the_cores(monkeypatch: pytest.MonkeyPatch, cores: int, models: int, workers: int) -> None:
    monkeypatch.setattr(settings_module, "count_cores", lambda: cores)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert count_workers(Settings(), ["a"], models=models) == workers
    assert count_workers(load_settings({"WORKERS": "1,a=7"}), ["a", "b"], models=models) == 7


def test_a_childs_import_path_holds_the_library_once_and_keeps_the_users(tmp_path: Path) -> None:
    environ = {"PYTHONPATH": f"{LIBRARY}{os.pathsep}/own", "MODEL_NAME": "rf"}
    site = Site(root=tmp_path, run_dir=tmp_path, environments=tmp_path, settings=Settings(), environ=environ)
    child = site.child_environ(OMP_NUM_THREADS="1")
    assert child["PYTHONPATH"] == f"{LIBRARY}{os.pathsep}/own"
    assert (child["MODEL_NAME"], child["OMP_NUM_THREADS"], child["PYTHONSAFEPATH"]) == ("rf", "1", "1")


def test_restarts_come_later_and_later_but_soon_after_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    process = Process()

    def delays(count: int, served_for: float) -> list[float]:
        found = []
        for _ in range(count):
            process.plan_restart(served_for=served_for)
            found.append(process.start_at)
        return found

    failing = delays(5000, 0.0)
    assert failing == sorted(failing)
    assert failing[0] < 0.2
    assert failing[-1] == 60.0
    assert delays(1, 0.5) == [2.0]
    assert delays(1, 3600.0) == [0.05]


@pytest.mark.parametrize(
    ("code", "text"), [(0, "exit code 0"), (7, "exit code 7"), (-9, "killed by SIGKILL"), (-40, "killed by signal 40")]
)
def test_an_exit_is_described(code: int, text: str) -> None:
    assert describe_exit(code) == text


def test_lines_are_put_together_from_what_arrives() -> None:
    lines = LineBuffer(limit=10)
    assert lines.take(b"on") == []
    assert lines.take(b"e\ntwo\r\nth") == ["one", "two"]
    assert lines.take(b"") == ["th"]
    assert lines.take(b"") == []
    assert lines.take(b"\xff" + b"x" * 20) == ["\ufffd" + "x" * 20]


def test_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    statuses = [ModelStatus(name="a/b", state="failed", reason="é", pid=3, restarts=1, load_seconds=0.5)]
    assert read_status(tmp_path) == {}
    write_status(tmp_path, statuses)
    assert list(read_status(tmp_path).values()) == statuses
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_json_log_line_is_one_object_with_the_fields() -> None:
    record = logging.makeLogRecord({"msg": "two\nlines", "levelname": "ERROR", "name": "x", **{"fields": {"id": "a"}}})
    entry = json.loads(JSONFormatter().format(record))
    assert (entry["level"], entry["logger"], entry["message"], entry["id"]) == ("error", "x", "two\nlines", "a")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry["time"])
    assert "\n" not in JSONFormatter().format(record)


def test_a_text_log_line_shows_fields_and_a_trace_below() -> None:
    record = logging.makeLogRecord({"msg": "failed", **fields(request_id="a", trace="Traceback\n  x")})
    assert TextFormatter().format(record).endswith("failed  request_id=a\nTraceback\n  x")


def test_a_text_log_line_stays_one_whatever_a_field_holds() -> None:
    record = logging.makeLogRecord({"msg": "GET", **fields(path="/é\n12:00:00 ERROR forged\x1b[31m")})
    assert TextFormatter().format(record).endswith(r"GET  path=/é\n12:00:00 ERROR forged\x1b[31m")


def test_a_host_that_does_not_exist_is_said() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on 203\.0\.113\.1:0: Cannot assign"):
        bind(Settings(host="203.0.113.1", port=0))
    with pytest.raises(ListenError, match="cannot listen on no host:0: "):
        bind(Settings(host="no host", port=0))


def test_a_run_directory_is_made_and_a_temporary_one_is_removed(tmp_path: Path) -> None:
    with open_run_dir(None) as path:
        assert path.stat().st_mode & 0o777 == 0o700
    assert not path.exists()
    with open_run_dir(str(tmp_path / "run")) as path:
        assert path.is_dir()
    assert path.is_dir()


def test_a_run_directory_that_is_too_long_for_sockets_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too long for the sockets"), open_run_dir(str(tmp_path / ("x" * 100))):
        pass


@pytest.mark.parametrize(
    ("environ", "shared"),
    [
        ({}, {"shared"}),
        ({"PRELOAD": "0"}, set()),
        ({"WORKERS": "1,c=2"}, {"shared", "own"}),
        ({"PRELOAD": "always"}, {"shared", "own"}),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="workers are forks on Linux only")
def test_workers_are_forks_where_several_share_an_environment(
    monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str], shared: set[str]
) -> None:
    monkeypatch.setattr(settings_module, "count_cores", lambda: 2)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    models = tuple(
        Model(name=name, environment=environment, routes=(name,))
        for name, environment in {"a": "shared", "b": "shared", "c": "own"}.items()
    )
    application = Application(name="x", kind="predict", models=models)
    assert find_shared_environments(load_settings(environ), application) == shared


def test_workers_are_no_forks_where_there_is_a_graphics_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidia0")
    models = tuple(Model(name=name, routes=(name,)) for name in ("a", "b"))
    assert find_shared_environments(Settings(), Application(name="x", kind="predict", models=models)) == set()
