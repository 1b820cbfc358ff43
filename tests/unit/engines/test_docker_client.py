"""Finding engines, translating their errors, their names and times, and the network profile in a container."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from threading import Thread

import pytest

from modelyard.engines import Choice, choose_engine, open_engine
from modelyard.engines.docker.client import explain_api_error, open_client
from modelyard.engines.docker.containers import as_container
from modelyard.engines.docker.images import as_image, parse_time
from modelyard.engines.docker.profile import PLACE, choose_network, container_profile
from modelyard.engines.docker.sockets import Socket, find_answering, require_socket
from modelyard.engines.docker.workshop import is_abandoned, make_name, split_lines
from modelyard.errors import EngineError, InputError, PortTakenError
from modelyard.images.namespace import Namespace
from modelyard.network import NetworkProfile, make_network_profile


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment on a machine without any engine."""
    monkeypatch.setattr(
        "modelyard.engines.docker.sockets._is_socket", lambda path: str(tmp_path) in str(path) and path.exists()
    )
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


class Ping(BaseHTTPRequestHandler):
    """What an engine answers to `GET /_ping`."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/_ping" else 404)
        self.end_headers()

    def address_string(self) -> str:
        return "a Unix socket"  # it has no address that could be looked up

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(path: Path) -> Iterator[None]:
    """An engine that answers at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with UnixStreamServer(str(path), Ping) as server:  # type: ignore[arg-type]
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class TestFinding:
    def test_docker_then_podman_then_local(self, nowhere, tmp_path):
        run = tmp_path / "run"
        assert choose_engine(None, nowhere) == Choice("local", "no Docker or Podman answers here")
        with answering(run / "podman" / "podman.sock"):
            assert choose_engine(None, nowhere) == Choice("podman", f"{run}/podman/podman.sock")
            with answering(run / "docker.sock"):
                assert choose_engine("auto", nowhere) == Choice("docker", f"{run}/docker.sock")
            assert (run / "docker.sock").exists()
            assert choose_engine(None, nowhere).name == "podman"

    def test_docker_host_comes_first(self, nowhere, tmp_path):
        with answering(tmp_path / "run" / "docker.sock"):
            found = find_answering({**nowhere, "DOCKER_HOST": "tcp://build:2375"})
        assert found == Socket("docker", "tcp://build:2375", "DOCKER_HOST")

    def test_what_is_named_is_not_looked_for(self, nowhere, tmp_path):
        with answering(tmp_path / "run" / "docker.sock"):
            assert choose_engine(None, {**nowhere, "MODELYARD_ENGINE": "local"}) == Choice("local")
            assert choose_engine("podman", {**nowhere, "MODELYARD_ENGINE": "local"}) == Choice("podman")

    def test_without_the_sdk_it_is_the_embedded_one(self, nowhere, tmp_path, monkeypatch):
        monkeypatch.setattr("modelyard.engines.find_spec", lambda _: None)
        with answering(tmp_path / "run" / "docker.sock"):
            choice = choose_engine(None, nowhere)
        assert choice.name == "local"
        assert "pip install 'modelyard[docker]'" in choice.found

    @pytest.mark.parametrize("open", [open_engine, open_client])
    def test_an_engine_that_is_named_says_that_it_lacks_the_sdk(self, monkeypatch, open):
        monkeypatch.setitem(sys.modules, "docker", None)
        with pytest.raises(EngineError, match="'docker' needs the Python package 'docker'") as error:
            open("docker", {"DOCKER_HOST": "tcp://build:2375"})
        assert "pip install 'modelyard[docker]'" in str(error.value.hint)

    def test_no_engine_says_where_it_was_looked_for_and_what_else_there_is(self, nowhere):
        with pytest.raises(EngineError) as error:
            require_socket("docker", nowhere)
        assert "no docker engine: nothing at /var/run/docker.sock" in error.value.message
        assert "--engine local" in str(error.value.hint)

    def test_engine_that_does_not_answer_is_named(self, tmp_path):
        engine = open_engine("docker", {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
        with pytest.raises(EngineError, match=r"no answer from unix://.*none\.sock") as error:
            engine.images()
        assert "systemctl start docker" in str(error.value.hint)

    def test_unknown_engine_lists_those_there_are(self):
        with pytest.raises(EngineError, match="no engine 'dokcer'") as error:
            open_engine("dokcer", {})
        assert "docker, podman" in str(error.value.hint)

    def test_s2i_needs_an_engine_of_images(self):
        with pytest.raises(EngineError, match="'local' has no images"):
            open_client("local", {})


class TestErrors:
    @pytest.mark.parametrize(
        ("said", "kind", "hint"),
        [
            ("write /x: no space left on device", EngineError, "modelyard prune"),
            ("driver failed: Bind for 127.0.0.1:1 failed: port is already allocated", PortTakenError, "PORT="),
            ('could not select device driver "" with capabilities: [[gpu]]', EngineError, "VARIANT=cpu"),
            ("invalid reference format", InputError, "small letters"),
            ('Conflict. The container name "/web" is already in use by container "d1"', EngineError, "--name"),
        ],
    )
    def test_refusal_says_what_to_do(self, said, kind, hint):
        error = explain_api_error(said, "do it", status=400)
        assert type(error) is kind
        assert said in error.message
        assert hint in str(error.hint)


class TestDescriptions:
    def test_image_of_podman_is_called_as_on_docker(self):
        found = {
            "Id": "sha256:abc",
            "RepoTags": ["localhost/ci/income:latest", "docker.io/ci/rf:1"],
            "Config": {"Env": ["A=b=c"], "Labels": {"io.modelyard.kind": "train", "io.modelyard.name": "p/m"}},
            "Size": 3,
            "Created": "1970-01-01T00:00:00Z",
            "Metadata": {"LastTagTime": "2026-01-02T03:04:05.123456789Z"},
        }
        image = as_image(found, Namespace("ci"))
        assert (image.tags, image.kind, image.name) == (("income:latest", "rf:1"), "train", "p/m")
        assert image.environment == {"A": "b=c"}
        assert image.created == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)

    def test_time_that_was_never_set_is_passed_over(self):
        assert parse_time("0001-01-01T00:00:00Z", "2026-01-01T00:00:00Z").year == 2026

    def test_container_that_ended(self):
        found = {
            "Id": "c1",
            "Image": "sha256:i1",
            "Created": "2026-01-01T00:00:00Z",
            "Config": {"Labels": {"io.modelyard.container": "web"}},
            "HostConfig": {"PortBindings": {"5000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "5111"}]}},
            "State": {"Status": "exited", "ExitCode": 137, "Pid": 0},
        }
        container = as_container(found)
        assert (container.name, container.status, container.exit_code) == ("web", "exited", 137)
        assert (container.host, container.port, container.pid) == ("127.0.0.1", 5111, None)


class TestWorkshop:
    def test_name_tells_whether_its_process_is_gone(self):
        mine = make_name()
        assert not is_abandoned(mine)
        assert is_abandoned(mine.replace(f"-{os.getpid()}-", "-999999999-"))
        assert not is_abandoned("/modelyard-workshop-elsewhere-999999999-ab")
        assert not is_abandoned("/somebody-elses")

    def test_characters_and_lines_may_break_anywhere(self):
        text = "ä\nb\n"
        assert list(split_lines(bytes([byte]) for byte in text.encode())) == ["ä", "b"]
        assert list(split_lines([b"\xff\n"])) == ["\ufffd"]


class TestProfile:
    def test_paths_become_mounts_and_credentials_stay_variables(self, tmp_path):
        bundle, wheels, index = tmp_path / "ca.pem", tmp_path / "wheels", tmp_path / "index" / "simple"
        bundle.touch(), wheels.mkdir(), index.mkdir(parents=True)
        pip = {
            "cert": str(bundle),
            "find-links": str(wheels),
            "extra-index-url": f"file://{index} https://me:secret@index.example/simple",
        }
        with container_profile(make_network_profile({}, pip), {}) as profile:
            targets = {folder.source: folder.target for folder in profile.folders}
            assert all(folder.read_only for folder in profile.folders if folder.target != PLACE)
            assert set(targets) >= {str(bundle), str(wheels), str(index.parent)}
            variables = profile.variables
            assert variables["SSL_CERT_FILE"] == variables["PIP_CERT"] == targets[str(bundle)]
            assert variables["UV_FIND_LINKS"] == targets[str(wheels)]
            local, remote = variables["UV_INDEX"].split()
            assert local == f"file://{targets[str(index.parent)]}/simple"
            assert remote == "https://me:secret@index.example/simple"
            (root,) = [source for source, target in targets.items() if target == PLACE]
            assert targets[str(bundle)] in Path(root, "apt.conf").read_text()
            assert all(Path(root, Path(target).name).exists() for target in targets.values() if target != PLACE)
        assert not Path(root).exists()

    def test_the_folder_around_places_of_files_is_not_read_only(self, tmp_path):
        """Docker Engine 26 opens the place of a file to write, when something is copied into the container."""
        bundle = tmp_path / "ca.pem"
        bundle.touch()
        with container_profile(make_network_profile({}, {"cert": str(bundle)}), {}) as profile:
            assert [folder.target for folder in profile.folders if not folder.read_only] == [PLACE]

    def test_proxy_on_this_machine_needs_this_machines_network(self):
        assert choose_network(NetworkProfile({"HTTPS_PROXY": "http://localhost:3128"}), {}) == "host"
        assert choose_network(NetworkProfile({"HTTPS_PROXY": "http://proxy.example:3128"}), {}) is None
        assert choose_network(NetworkProfile({}), {"MODELYARD_BUILD_NETWORK": "ci"}) == "ci"
