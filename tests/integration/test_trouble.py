"""What goes wrong on machines: full disks, Ctrl-C at any moment, two builds that want one tag."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelyard.engines.docker import DockerEngine
from modelyard.engines.docker.workshop import WORKSHOP
from modelyard.images.builder import ROLE_LABEL
from tests.conftest import REPOSITORY
from tests.integration.test_engine_contract import is_running
from tests.integration.tiny_workspace import Tiny, tiny_workspace

pytestmark = pytest.mark.integration

TRAIN = "import six\ndef train(msg): return {'six': six.PY3}\n"


@contextmanager
def small_disk(folder: Path, *, size: str) -> Iterator[Path]:
    """Make `folder` a file system of its own; skip where that needs rights that the user lacks."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED: can't mount a small file system: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


class TestFullDisk:
    @pytest.fixture
    def tiny(self, tmp_path: Path) -> Iterator[Tiny]:
        with tiny_workspace(tmp_path) as tiny:
            tiny.add_model("income", "rf")
            yield tiny

    def test_of_the_home_is_named_with_what_frees_it_and_nothing_half_made_stays(self, tiny, tmp_path):
        with small_disk(tmp_path / "full", size="64k") as home:
            said = tiny.fail("modelyard", "build", "projects/income/rf", code=7, MODELYARD_HOME=str(home))
            assert "No space left on device" in said
            assert "modelyard prune" in said
            assert not list(home.glob("images/*")) and not list(home.glob("environments/*/environment.json"))

    def test_of_the_folder_for_contexts_is_named(self, tiny, tmp_path):
        with small_disk(tmp_path / "full", size="16k") as folder:
            said = tiny.fail("modelyard", "build", "projects/income/rf", code=1, TMPDIR=str(folder))
            assert "No space left on device" in said
            assert "Traceback" not in said
            assert list(folder.iterdir()) == []


class TestInterrupted:
    @pytest.mark.parametrize("phase", ["setup", "requirements", "source"])
    def test_in_any_phase_nothing_is_left(self, engine, environ, stage_train, start_build, tmp_path, phase):
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        environ["TMPDIR"] = str(scratch)
        context = stage_train(TRAIN, **{"setup.sh": "true\n"})
        build = start_build(context, "one")
        assert build.stdout
        for line in build.stdout:
            if line.startswith(f"---> {phase}"):
                build.send_signal(signal.SIGINT)
                break
        output, _ = build.communicate(timeout=60)
        assert list(scratch.iterdir()) == []
        if isinstance(engine, DockerEngine):
            name = f"{WORKSHOP}-.*-{build.pid}-"
            assert engine.client.api.containers(all=True, filters={"name": name}) == []
        if engine.images():  # it was done before it heard of it
            assert engine.build(context, tag="one").reused
        else:
            assert "KeyboardInterrupt" in output


class TestInterruptedBuilderImage:
    @pytest.fixture
    def sleep(self) -> str:
        """A command of the Dockerfile that takes four seconds, and is told from any other."""
        return f"sleep 60.{secrets.randbelow(10**9)}"

    @pytest.fixture
    def build(self, engine, engine_name, environ, stage_train, make_workspace, sleep):
        """Start the command that builds with a builder image which nobody has made yet."""
        if not isinstance(engine, DockerEngine):
            pytest.skip("the embedded engine has no builder images")
        dockerfile = (REPOSITORY / "builders/train/Dockerfile").read_text()
        slow = dockerfile.replace(" AS platform\n", f" AS platform\nRUN timeout 4 {sleep} || true\n")
        context = stage_train(TRAIN).root
        make_workspace({"builders/train/Dockerfile": slow})
        command = [sys.executable, "-m", "modelyard", "-v", "build", "--engine", engine_name]
        command += ["--context", str(context), "--tag", "one"]

        def start() -> "subprocess.Popen[str]":
            return subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True, start_new_session=True)

        yield start
        for item in engine.client.api.images(filters={"label": ROLE_LABEL}):
            history = engine.client.api.history(item["Id"])
            if any(sleep in entry["CreatedBy"] for entry in history):
                engine.client.api.remove_image(item["Id"], force=True)

    @pytest.mark.parametrize("phase", ["get what it needs", "build it"])
    def test_ends_at_once_and_the_next_build_makes_it(self, engine, build, sleep, phase):
        interrupted = build()
        next(line for line in interrupted.stderr if phase in line)
        if phase == "build it":
            deadline = time.monotonic() + 60
            while not is_running(sleep):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        began = time.monotonic()
        interrupted.send_signal(signal.SIGINT)
        said = interrupted.communicate(timeout=30)[1]
        assert time.monotonic() - began < 3
        assert (interrupted.returncode, said.splitlines()[-1]) == (130, "stopped")
        containers = engine.client.api.containers(all=True)
        assert not [item for item in containers if f"-{interrupted.pid}-" in item["Names"][0]]
        assert not [item for item in containers if sleep in item["Command"]]
        again = build()
        assert (again.communicate(timeout=240)[1].count("build it of"), again.returncode) == (1, 0)
        assert not is_running(sleep)


class TestKilled:
    def test_what_a_killed_build_has_laid_out_is_removed(self, engine, environ, stage_train, start_build):
        if not isinstance(engine, DockerEngine):
            pytest.skip("the embedded engine lays out no layers")
        layers = Path(environ["MODELYARD_HOME"], "layers")
        build = start_build(stage_train(TRAIN), "one")
        assert build.stdout
        next(line for line in build.stdout if line.startswith("---> requirements"))
        build.kill()
        build.communicate(timeout=60)
        [left] = layers.iterdir()
        (layers / left.name.replace(str(build.pid), str(os.getpid()))).mkdir()
        assert engine.prune().freed > 0
        assert [str(os.getpid()) in path.name for path in layers.iterdir()] == [True]


class TestOneTag:
    def test_of_two_builds_at_once_names_one_of_the_two(self, engine, stage_train, start_build):
        sources = [f"{TRAIN}# {number}\n" for number in range(2)]
        contexts = [stage_train(source, folder=f"context{number}") for number, source in enumerate(sources)]
        builds = [start_build(context, "demo") for context in contexts]
        outputs = [build.communicate(timeout=240)[0] for build in builds]
        assert [build.returncode for build in builds] == [0, 0], outputs
        assert len(engine.images()) == 2
        assert engine.inspect("demo").id in {image.id for image in engine.images()}
        assert sorted(len(image.tags) for image in engine.images()) == [0, 1]
