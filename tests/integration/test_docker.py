"""What real images must be beyond the engine contract: no secrets, any user, read-only, the same bytes twice."""

import contextlib
import gc
import os
import re
import socket
import subprocess
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from modelyard.context import stage_model
from modelyard.engines import open_engine
from modelyard.engines.docker import DockerEngine
from modelyard.engines.docker.layer import ChunkReader, pack, write_files_layer
from modelyard.errors import BuildError, EngineError
from modelyard.workspace import find_workspace

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
MODEL = "projects/demo/m"
SECRET = "s3cr3t-index-pass"
PREDICT = "import six\ndef predict(msg): return {'payload': msg.payload, 'six': six.PY3}\n"
FILES = {
    f"{MODEL}/.s2i/environment": "TRAIN_MODULE=train\nROUTES=echo:predict:predict\nQUOTED=$HOME \"x\" 'y' \\\\\n",
    f"{MODEL}/train.py": "def train(msg): return {'ok': True}\n",
    f"{MODEL}/predict.py": PREDICT,
    f"{MODEL}/requirements_train.txt": "",
    f"{MODEL}/requirements_predict.txt": "six",
}


@pytest.fixture
def engine_name() -> str:
    return "docker"


@pytest.fixture
def docker(engine) -> Iterator[DockerEngine]:
    assert isinstance(engine, DockerEngine)
    yield engine


@pytest.fixture
def stage(make_workspace, tmp_path: Path):
    """Stage the demo model with other files in place of its own."""

    def run(kind: str = "predict", folder: str = "context", **files: str):
        workspace = make_workspace({**FILES, **{f"{MODEL}/{name}": text for name, text in files.items()}})
        return stage_model(workspace, workspace.model_directory(workspace.root / MODEL), kind, tmp_path / folder)

    return run


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_container(docker: DockerEngine, image: str, **options: object) -> tuple[int, str]:
    """Run an image by the engine's own means, as a platform would."""
    api = docker.client.api
    host = api.create_host_config(**options.pop("host", {}))  # type: ignore[arg-type]
    container = api.create_container(f"sha256:{image}", host_config=host, **options)["Id"]
    try:
        api.start(container)
        code = api.wait(container)["StatusCode"]
        return code, api.logs(container).decode()
    finally:
        api.remove_container(container, force=True)


def list_files(docker: DockerEngine, image: str) -> list[str]:
    """Every file of an image's file system."""
    api = docker.client.api
    container = api.create_container(f"sha256:{image}", command="none")["Id"]
    try:
        with tarfile.open(fileobj=ChunkReader(api.export(container)), mode="r|") as archive:
            return [member.name for member in archive if not member.isdir()]
    finally:
        api.remove_container(container)


def wait_until_answers(url: str, *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            assert time.monotonic() < deadline, f"{url} did not answer in time"
            time.sleep(0.1)


class TestSecrets:
    def test_credentials_of_index_and_proxy_reach_assemble_and_no_layer(self, docker, stage, tmp_path):
        setup = 'test -n "$UV_INDEX" && test -n "$https_proxy" && test -r "$SSL_CERT_FILE" && echo all here\n'
        context = stage(
            **{"setup.sh": setup, "requirements_predict.txt": "", "predict.py": "def predict(msg): return 1\n"}
        )
        bundle = tmp_path / "own-ca.pem"
        bundle.write_text(f"# {SECRET}\n" + _system_bundle())
        environ = docker.client.environ | {
            "UV_INDEX": f"https://me:{SECRET}@127.0.0.1:1/simple",
            "https_proxy": f"http://me:{SECRET}@127.0.0.1:1",
            "PIP_CERT": str(bundle),
        }
        engine = open_engine("docker", environ)
        lines: list[str] = []
        image = engine.build(context, tag="demo", on_output=lines.append)
        assert "all here" in lines
        assert SECRET not in str(docker.client.api.inspect_image(f"sha256:{image.id}"))
        assert SECRET not in str(docker.client.api.history(f"sha256:{image.id}"))
        assert SECRET.encode() not in b"".join(docker.client.api.get_image(f"sha256:{image.id}"))

    def test_mounts_of_the_build_leave_no_trace(self, docker, stage):
        image = docker.build(stage(**{"setup.sh": "touch /opt/from-setup\n"}), tag="demo")
        list_all = ["sh", "-c", "ls -A /opt/modelyard/network /opt/modelyard/cache /tmp; ls /opt"]
        code, output = run_container(docker, image.id, command=list_all)
        assert code == 0
        assert output.splitlines() == [
            "/opt/modelyard/cache:",
            "",
            "/opt/modelyard/network:",
            "",
            "/tmp:",
            "from-setup",
            "modelyard",
        ]


BUILD_TOOLS = {"gcc", "g++", "cc", "c++", "cpp", "clang", "ld", "as", "make", "rustc", "cargo", "uv", "pip", "pip3"}
GPU_LIBRARY = re.compile(r"lib(cuda|cudart|cudnn|cublas|cufft|curand|cusolver|cusparse|nccl|nvrtc|nvJitLink)[^/]*\.so")


class TestPruning:
    def test_builder_images_that_newer_ones_replace_go_and_those_of_others_stay(self, docker):
        api, own = docker.client.api, docker.client.namespace.name

        def import_platform(namespace: str, version: str) -> str:
            labels = {"namespace": namespace, "role": "platform", "builder": version}
            changes = [f"LABEL io.modelyard.{name}={value}" for name, value in labels.items()]
            name = f"{namespace}/modelyard/demo-platform"
            api.import_image_from_data(
                pack({"version": version.encode()}), repository=name, tag=f"cpu-{version}", changes=changes
            )
            return f"{name}:cpu-{version}"

        old, others = import_platform(own, "1"), import_platform(f"{own}-x", "1")
        second = int(time.time())
        while int(time.time()) == second:  # what engines tell of the time that an image was made
            time.sleep(0.05)
        new, others_new = import_platform(own, "2"), import_platform(f"{own}-x", "2")
        try:
            gone = api.inspect_image(old)["Id"]
            assert docker.prune().builders == (gone,)
            assert docker.prune().builders == ()
            assert api.inspect_image(new) and api.inspect_image(others) and api.inspect_image(others_new)
        finally:
            for image in (new, others, others_new):
                api.remove_image(image)


class TestLean:
    def test_predict_image_of_a_model_carries_what_it_needs_to_predict(self, docker, tmp_path):
        workspace = find_workspace(ROOT)
        model = workspace.model_directory(ROOT / "projects/finance_income_prediction/randomForest")
        image = docker.build(stage_model(workspace, model, "predict", tmp_path / "context"), tag="lean")
        paths = [PurePosixPath("/", name) for name in list_files(docker, image.id)]
        assert any(path.match("site-packages/sklearn/__init__.py") for path in paths)
        assert [path for path in paths if "bin" in path.parts and path.name in BUILD_TOOLS] == []
        assert [path for path in paths if path.match("site-packages/pip/*") or path.match("site-packages/uv/*")] == []
        caches = ("/opt/modelyard/cache", "/root/.cache", "/action/.cache", "/tmp", "/var/cache/apt/archives")
        assert [path for path in paths if any(path.is_relative_to(cache) for cache in caches)] == []
        assert [path for path in paths if "site-packages" in path.parts and "tests" in path.parts] == []
        assert [path for path in paths if GPU_LIBRARY.search(path.name) or "nvidia" in path.parts] == []


class TestImage:
    def test_carries_no_uv_no_pip_and_no_compiler(self, docker, stage):
        image = docker.build(stage(), tag="demo")
        script = "for name in uv pip pip3 gcc cc; do command -v $name; done; ls /opt/modelyard/tools; true"
        assert run_container(docker, image.id, command=["sh", "-c", script])[1].splitlines() == [
            "ls: cannot access '/opt/modelyard/tools': No such file or directory"
        ]

    def test_labels_environment_and_history(self, docker, stage):
        image = docker.build(stage(), tag="demo")
        found = docker.client.api.inspect_image(f"sha256:{image.id}")
        config, labels = found["Config"], found["Config"]["Labels"]
        assert labels["io.openshift.s2i.scripts-url"] == "image:///usr/libexec/s2i"
        assert labels["org.opencontainers.image.title"] == "demo/m"
        assert (config["User"], config["Cmd"], list(config["ExposedPorts"])) == (
            "1001",
            ["/usr/libexec/s2i/run"],
            ["5000/tcp"],
        )
        assert config["Healthcheck"]["Test"][0] == "CMD"
        assert "QUOTED=$HOME \"x\" 'y' \\\\" in config["Env"]
        titles = [item["CreatedBy"].partition(":")[0] for item in docker.client.api.history(f"sha256:{image.id}")]
        assert titles[:3] == ["source", "runtime", "requirements"]

    def test_same_source_makes_the_same_image_twice(self, docker, stage):
        first = docker.build(stage(), tag="demo")
        docker.remove("demo")
        docker.prune()
        again = docker.build(stage(folder="again"), tag="demo")
        assert not again.reused
        assert again.id == first.id

    def test_frameworks_layer_is_shared_and_the_rest_comes_out_the_same(self, docker, stage):
        def build(tag: str, requirements: str) -> tuple[list[str], list[str]]:
            lines: list[str] = []
            context = stage(folder=tag, **{"requirements_predict.txt": requirements})
            image = docker.build(context, tag=tag, on_output=lines.append)
            return docker.client.api.inspect_image(f"sha256:{image.id}")["RootFS"]["Layers"], lines

        first, _ = build("first", "numpy\nsix\n")
        other, lines = build("other", "numpy\nsix\nidna\n")
        assert any("numpy==" in line and line.endswith("reused") for line in lines)
        assert first[:-3] == other[:-3]
        assert first[-3] != other[-3]
        for tag in ("first", "other"):
            docker.remove(tag)
        docker.prune()
        assert not docker.client.list_images("io.modelyard.role=frameworks")
        again, lines = build("again", "numpy\nsix\nidna\n")
        assert not any("reused" in line for line in lines)
        assert again[:-1] == other[:-1]

    def test_changed_line_changes_one_small_layer(self, docker, stage):
        first = docker.build(stage(), tag="one")
        changed = docker.build(stage(folder="again", **{"predict.py": PREDICT + "# more\n"}), tag="two")
        layers = [
            docker.client.api.inspect_image(f"sha256:{image.id}")["RootFS"]["Layers"] for image in (first, changed)
        ]
        assert layers[0][:-1] == layers[1][:-1]
        assert layers[0][-1] != layers[1][-1]
        assert docker.client.api.history(f"sha256:{changed.id}")[0]["Size"] < 200_000

    def test_import_of_what_is_not_installed_is_found_without_a_container(self, docker, stage):
        with pytest.raises(BuildError, match=r"predict.py:1 imports 'six', which no requirement provides"):
            docker.build(stage(**{"requirements_predict.txt": ""}), tag="demo")


class TestServing:
    @pytest.mark.parametrize(
        ("user", "host"),
        [("1001", {}), ("54321:0", {}), ("54321:0", {"read_only": True, "tmpfs": {"/tmp": ""}, "cap_drop": ["ALL"]})],
        ids=["own user", "random user", "random user, read-only"],
    )
    def test_daemon_serves_under_any_user_and_read_only(self, docker, stage, user, host):
        image = docker.build(stage(), tag="demo")
        port = free_port()
        api = docker.client.api
        config = api.create_host_config(port_bindings={"5000/tcp": ("127.0.0.1", port)}, **host)
        container = api.create_container(f"sha256:{image.id}", user=user, ports=["5000"], host_config=config)["Id"]
        try:
            api.start(container)
            wait_until_answers(f"http://127.0.0.1:{port}/readyz")
            request = urllib.request.Request(f"http://127.0.0.1:{port}/echo", data=b'{"payload": [1]}')
            request.add_header("Content-Type", "application/json")
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.read().strip() == b'{"payload":{"payload":[1],"six":true}}'
            check = api.exec_create(
                container, api.inspect_image(f"sha256:{image.id}")["Config"]["Healthcheck"]["Test"][1:]
            )
            api.exec_start(check["Id"])
            assert api.exec_inspect(check["Id"])["ExitCode"] == 0
            api.stop(container, timeout=20)
            assert api.inspect_container(container)["State"]["ExitCode"] == 0
        finally:
            api.remove_container(container, force=True)


class TestTrouble:
    # The SDK forgets the socket of a connection that could not be made.
    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
    def test_engine_that_dies_in_the_middle_of_a_build_is_named(self, docker, stage, tmp_path):
        with FlakyProxy(tmp_path / "engine.sock") as proxy:
            environ = docker.client.environ | {"DOCKER_HOST": f"unix://{proxy.path}"}
            engine = open_engine("docker", environ)
            context = stage(**{"setup.sh": "echo started; sleep 60\n"})

            def cut(line: str) -> None:
                if line == "started":
                    proxy.cut()

            with pytest.raises(EngineError) as error:
                engine.build(context, tag="demo", on_output=cut)
        assert "trying to" in error.value.message or "went away" in error.value.message
        del engine, error
        gc.collect()
        for item in docker.client.api.containers(all=True, filters={"name": f"modelyard-workshop-.*-{os.getpid()}-"}):
            docker.client.api.remove_container(item["Id"], force=True)

    def test_full_disk_says_how_to_free_it(self, docker, stage):
        context = stage(**{"setup.sh": "echo 'write /x: No space left on device'; exit 28\n"})
        with pytest.raises(BuildError, match="exit code"):
            docker.build(context, tag="demo")

    def test_layers_of_files_are_the_same_whoever_writes_them(self, tmp_path):
        files = {"/opt/x/run": b"1", "/opt/y": b"2"}
        first = write_files_layer(tmp_path / "1", files, executable="/opt/x")
        assert (
            write_files_layer(tmp_path / "2", dict(reversed(files.items())), executable="/opt/x").digest == first.digest
        )


class FlakyProxy:
    """A socket in front of the engine's, whose connections can be cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> "FlakyProxy":
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Close the listener and every connection."""
        self.path.unlink(missing_ok=True)
        for item in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect("/var/run/docker.sock")
            self._sockets += [client, engine]
            for pair in ((client, engine), (engine, client)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def _system_bundle() -> str:
    bundle = os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"
    return Path(bundle).read_text() if Path(bundle).is_file() else ""


def test_base_image_script_names_what_is_missing(tmp_path):
    script = Path(__file__).parents[2] / "builders" / "base" / "make-base-image"
    done = subprocess.run(["/bin/bash", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "mmdebstrap is not installed" in done.stderr
