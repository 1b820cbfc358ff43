"""What real images must be beyond the engine contract: no secrets, any user, read-only, the same bytes twice."""

import base64
import contextlib
import gc
import http.server
import io
import os
import re
import secrets
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from modelyard.context.staging import stage_model
from modelyard.engines import open_engine
from modelyard.engines.docker import DockerEngine
from modelyard.engines.protocols import ContainerSpec
from modelyard.errors import BuildError, EngineError
from modelyard.images.layer import ChunkReader, pack, write_files_layer
from modelyard.workspace import find_workspace
from tests.component.requirements.wheels import make_wheel

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
MODEL = "projects/demo/m"
SECRET = "s3cr3t-index-pass"
PREDICT = "import six\ndef predict(msg): return {'payload': msg.payload, 'six': six.PY3}\n"
BUILT = re.compile(r"---> builder image (\S+): build it of builders/daemon/Dockerfile")
ECHO = "def predict(msg): return msg.payload\n"
BACKEND = """
import zipfile

def build_wheel(folder, settings=None, metadata=None):
    name = "modelyard_probe-1.0-py3-none-any.whl"
    about = {"METADATA": "Metadata-Version: 2.1\\nName: modelyard-probe\\nVersion: 1.0\\n"}
    about["RECORD"] = "modelyard_probe.py,,\\n"
    about["WHEEL"] = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("modelyard_probe.py", "")
        for file, text in about.items():
            wheel.writestr("modelyard_probe-1.0.dist-info/" + file, text)
    return name
"""
FILES = {
    f"{MODEL}/.s2i/environment": "TRAIN_MODULE=train\nROUTES=echo:predict:predict\nQUOTED=$HOME \"x\" 'y' \\\\\n",
    f"{MODEL}/train.py": "def train(msg): return {'ok': True}\n",
    f"{MODEL}/predict.py": PREDICT,
    f"{MODEL}/requirements_train.txt": "",
    f"{MODEL}/requirements_predict.txt": "six",
}


ENGINE = "docker"


@pytest.fixture
def engine_name() -> str:
    return ENGINE


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


def split_options(options: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Those for uv, and the files."""
    settings = {name: value for name, value in options.items() if name.startswith("UV_")}
    return settings, {name: value for name, value in options.items() if name not in settings}


def make_source_distribution(folder: Path) -> None:
    """A source distribution whose backend is its own, so that nothing is needed to build it."""
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "modelyard-probe"\nversion = "1.0"\n',
        "backend.py": BACKEND,
        "PKG-INFO": "Metadata-Version: 2.1\nName: modelyard-probe\nVersion: 1.0\n",
    }
    with tarfile.open(folder / "modelyard_probe-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"modelyard_probe-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


@contextlib.contextmanager
def index_with_password(folder: Path, password: str) -> Iterator[str]:
    """A package index of the wheels in a folder, for those who know the password; yields its address with it."""

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = base64.b64encode(f"me:{password}".encode()).decode()
            path = folder / Path(self.path).name
            if self.headers["Authorization"] != f"Basic {known}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                content = b""
            elif path.suffix == ".whl":
                self.send_response(200)
                content = path.read_bytes()
            else:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                content = "".join(
                    f'<a href="/{wheel.name}">{wheel.name}</a>' for wheel in folder.glob("*.whl")
                ).encode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://me:{password}@127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()


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
        docker.build(stage(), tag="before")  # makes the builder image, which the index and the proxy below could not
        setup = 'test -n "$UV_INDEX" && test -n "$https_proxy" && test -r "$SSL_CERT_FILE" && echo all here\n'
        context = stage(
            folder="secret",
            **{"setup.sh": setup, "requirements_predict.txt": "", "predict.py": "def predict(msg): return 1\n"},
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

    def test_gateway_holds_exactly_what_is_pinned(self, docker, stage):
        image = docker.build(stage(), tag="demo")
        lines = (ROOT / "builders/daemon/requirements.txt").read_text().splitlines()
        paths = [PurePosixPath("/", name) for name in list_files(docker, image.id)]
        gateway = [path for path in paths if path.is_relative_to("/opt/modelyard/environments/gateway")]
        installed = {path.parent.name for path in gateway if path.match("*.dist-info/METADATA")}
        assert sorted(name.removesuffix(".dist-info").replace("-", "==").lower() for name in installed) == [
            line for line in lines if "==" in line
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
        assert titles[:4] == ["source", "runtime", "requirements", "environment"]

    def test_same_source_makes_the_same_image_twice(self, docker, stage):
        first = docker.build(stage(), tag="demo")
        docker.remove("demo")
        docker.prune()
        again = docker.build(stage(folder="again"), tag="demo")
        assert not again.reused
        assert again.id == first.id

    def test_environment_is_one_of_the_image_s_own_python(self, docker, stage):
        image = docker.build(stage(), tag="demo")
        code = "import sys, six; print(sys.prefix, sys.base_prefix, six.__spec__.cached)"
        python = "/opt/modelyard/environments/default/bin/python"
        assert run_container(docker, image.id, command=[python, "-c", code])[1].split() == [
            "/opt/modelyard/environments/default",
            run_container(docker, image.id, command=["python3", "-c", "import sys; print(sys.prefix)"])[1].strip(),
            "/opt/modelyard/environments/default/lib/python3.11/site-packages/__pycache__/six.cpython-311.pyc",
        ]

    def test_changed_line_changes_one_small_layer(self, docker, stage):
        first = docker.build(stage(), tag="one")
        changed = docker.build(stage(folder="again", **{"predict.py": PREDICT + "# more\n"}), tag="two")
        layers = [
            docker.client.api.inspect_image(f"sha256:{image.id}")["RootFS"]["Layers"] for image in (first, changed)
        ]
        assert layers[0][:-1] == layers[1][:-1]
        assert layers[0][-1] != layers[1][-1]
        assert docker.client.api.history(f"sha256:{changed.id}")[0]["Size"] < 200_000

    def test_neither_a_build_without_a_change_nor_one_of_a_line_loads_the_sdk(self, docker, make_workspace, environ):
        workspace = make_workspace({**FILES, f"{MODEL}/test/test_instances.json": '{"instances": [[1]]}'})
        command = [sys.executable, "-X", "importtime", "-m", "modelyard", "build", MODEL, "--engine", ENGINE]
        imported = []
        for comment in ("", "", "# more\n"):
            (workspace.root / MODEL / "predict.py").write_text(PREDICT + comment)
            done = subprocess.run(command, cwd=workspace.root, env=environ, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            imported.append({line.rpartition("|")[2].strip() for line in done.stderr.splitlines()})
        assert "docker.api" in imported[0]
        assert not (imported[1] | imported[2]) & {"docker", "requests"}

    def test_import_of_what_is_not_installed_is_found_without_a_container(self, docker, stage):
        with pytest.raises(BuildError, match=r"predict.py:1 imports 'six', which no requirement provides"):
            docker.build(stage(**{"requirements_predict.txt": ""}), tag="demo")


class TestRequirements:
    """What is laid out without a container, and what needs one."""

    @pytest.fixture
    def build(self, docker, stage, tmp_path):
        """Build a model of these requirements with what uv downloaded for `cache`; return its image, and the output."""

        def run(tag: str, requirements: str, cache: str = "uv", **options: str):
            settings, files = split_options(options)
            environ = docker.client.environ | {"UV_CACHE_DIR": str(tmp_path / cache), **settings}
            lines: list[str] = []
            folder = f"{tag}-{len(list(tmp_path.iterdir()))}"
            context = stage(folder=folder, **{"requirements_predict.txt": requirements, "predict.py": ECHO, **files})
            image = open_engine("docker", environ).build(context, tag=tag, on_output=lines.append)
            return docker.client.api.inspect_image(f"sha256:{image.id}"), lines

        return run

    def test_wheels_need_no_container(self, docker, build):
        build("before", "")  # which asks the base image for its Python
        since = docker.client.api.info()["SystemTime"]
        _, lines = build("demo", "six")
        events = docker.client.api.events(since=since, until=time.time(), decode=True, filters={"event": "create"})
        made = [event["Actor"]["Attributes"].get("name", "") for event in events]
        assert not [name for name in made if f"-{os.getpid()}-" in name]
        assert any("six==" in line for line in lines)

    def test_equal_frameworks_share_their_layers_and_a_cold_build_makes_the_same_image(self, docker, build):
        first, _ = build("first", "numpy\nsix\n")
        other, lines = build("other", "numpy\nsix\nidna\n")
        assert "---> requirements: 3 layers, 1 of them new" in lines
        assert first["RootFS"]["Layers"][:-3] == other["RootFS"]["Layers"][:-3]
        assert first["RootFS"]["Layers"][-3] != other["RootFS"]["Layers"][-3]
        titles = [item["CreatedBy"] for item in docker.client.api.history(other["Id"])]
        assert [title.partition(" ")[2].split()[0] for title in titles[2:5]] == ["idna", "numpy", "default"]
        docker.remove("first")
        assert 0 < docker.prune().freed < 10_000_000, "numpy is the other's as well"
        docker.remove("other")
        docker.prune()
        again, lines = build("other", "numpy\nsix\nidna\n", cache="empty")
        assert "---> requirements: 3 layers, 3 of them new" in lines
        assert again["Id"] == other["Id"]

    def test_podman_has_the_same_layers_and_the_health_check(self, docker, stage, image_engines):
        environ = docker.client.environ | image_engines("podman")
        podman = open_engine("podman", environ)
        assert isinstance(podman, DockerEngine)
        try:
            layers = []
            for engine in (docker, podman):
                image = engine.build(stage(folder=engine.name), tag="demo")
                found = engine.client.api.inspect_image(f"sha256:{image.id}")
                layers.append(found["RootFS"]["Layers"][-4:])
            assert layers[0] == layers[1]
            api = podman.client.api
            own = api.get(f"{api.base_url}/v4.0.0/libpod/images/{image.id}/json").json()
            assert own["Healthcheck"]["Test"][0] == "CMD"
        finally:
            for image in podman.images():
                podman.remove(image.id)
            podman.prune()

    def test_what_has_to_be_built_is_built_in_a_container(self, build, tmp_path):
        folder = tmp_path / "links"
        folder.mkdir()
        make_source_distribution(folder)
        files = {"predict.py": "import modelyard_probe\n" + ECHO}
        image, lines = build("demo", "modelyard-probe", UV_FIND_LINKS=str(folder), **files)
        reason = "not all of them have a wheel: install them in a container, as one layer"
        assert f"---> requirements: {reason}" in lines
        assert "modelyard_probe" in image["Config"]["Labels"]["io.modelyard.modules"].split()

    def test_a_toolbox_is_made_when_a_container_installs(self, docker, build, make_workspace, tmp_path):
        folder = tmp_path / "links"
        folder.mkdir()
        make_source_distribution(folder)
        dockerfile = (ROOT / "builders/daemon/Dockerfile").read_text()
        make_workspace({**FILES, "builders/daemon/Dockerfile": f"{dockerfile}# {secrets.token_hex(8)}\n"})
        _, wheels = build("wheels", "six")
        _, sources = build("sources", "modelyard-probe", UV_FIND_LINKS=str(folder))
        made = [BUILT.findall("\n".join(lines)) for lines in (wheels, sources)]
        assert [[tag.partition(":")[0] for tag in tags] for tags in made] == [
            ["modelyard/daemon-platform"],
            ["modelyard/daemon-toolbox"],
        ]
        assert not [line for line in (*wheels, *sources) if line.startswith(("Step", "Successfully built", " --->"))]
        for tag in ("wheels", "sources"):
            docker.remove(tag)
        docker.prune()
        for tag in (*made[1], *made[0]):
            docker.client.api.remove_image(tag)

    def test_setup_runs_once_for_all_requirements_and_they_lie_on_top_of_it(self, docker, build):
        setup = {"setup.sh": "echo native; touch /opt/from-setup\n"}
        first, lines = build("first", "six", **setup)
        assert "native" in lines
        other, lines = build("other", "six\nidna", **setup)
        assert "native" not in lines
        assert any("the same setup.sh ran" in line for line in lines)
        assert first["RootFS"]["Layers"][:-4] == other["RootFS"]["Layers"][:-4]
        command = ["ls", "/opt/from-setup", "/opt/modelyard/environments/default/lib/python3.11/site-packages/idna"]
        assert run_container(docker, other["Id"].removeprefix("sha256:"), command=command)[0] == 0
        for tag in ("first", "other"):
            docker.remove(tag)
        docker.prune()
        assert not docker.client.list_images("io.modelyard.role=setup")

    def test_credentials_of_the_index_and_paths_of_this_machine_are_in_no_layer(self, docker, build, tmp_path):
        make_wheel(tmp_path, "demolib", "1.0")
        with index_with_password(tmp_path, SECRET) as url:
            image, lines = build("demo", "demolib", UV_DEFAULT_INDEX=url, UV_INDEX="", UV_FIND_LINKS="")
        assert any("demolib==1.0" in line for line in lines)
        assert SECRET not in "".join(lines)
        everything = b"".join(docker.client.api.get_image(image["Id"]))
        assert b"demolib" in everything
        assert SECRET.encode() not in everything
        assert os.fsencode(tmp_path) not in everything


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


class TestContainersOfAnyPlatform:
    """What a platform's own limits do to an image that it runs by itself."""

    def test_read_only_without_a_temporary_folder_says_what_to_mount(self, docker, stage):
        image = docker.build(stage(), tag="demo")
        code, output = run_container(docker, image.id, user="54321:0", host={"read_only": True})
        assert code != 0
        assert "Traceback" not in output
        assert "MODELYARD_RUN_DIR" in output and "--tmpfs /tmp" in output

    @pytest.mark.parametrize("user", ["1001", "54321:0"])
    @pytest.mark.parametrize("kind", ["train", "predict"])
    def test_whoever_runs_it_has_a_name_and_a_home(self, docker, stage, kind, user):
        tell = "import getpass, pathlib\n\ndef train(msg):\n    return [getpass.getuser(), str(pathlib.Path.home())]\n"
        answer = (
            "import getpass, pathlib\n\ndef predict(msg):\n    return [getpass.getuser(), str(pathlib.Path.home())]\n"
        )
        files = {"train.py": tell, "predict.py": answer, "test/test_instances.json": '{"payload": {}}'}
        image = docker.build(stage(kind, **files), tag="demo")
        environment = {"TRAIN": "1"} if kind == "train" else {"BARE": "1"}
        _, output = run_container(docker, image.id, user=user, environment=environment)
        assert "modelyard" in output and ("/model" if kind == "train" else "/action") in output

    def test_shared_memory_is_as_large_as_was_said(self, docker, stage):
        use = "import os\n\ndef train(msg):\n    os.posix_fallocate(os.open('/dev/shm/x', 66, 0o600), 0, 100 << 20)\n"
        image = docker.build(stage("train", **{"train.py": use}), tag="demo")
        spec = ContainerSpec(image.id, environment={"TRAIN": "1"})
        assert docker.run(spec) != 0
        environ = docker.client.environ | {"MODELYARD_SHM_SIZE": "200000000"}
        assert open_engine("docker", environ).run(spec) == 0


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
