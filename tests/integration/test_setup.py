"""What a setup.sh may do to the machine: nothing unasked, and asked for, nothing to temporary files and package lists.

Each command runs on a machine of its own: mounts of folders of this test in the place of /tmp, /var/tmp and the package
lists, so that a fault empties these.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard.codegen.scaffold import init_workspace
from modelyard.engines.local import enclosure
from tests.conftest import write_files
from tests.integration.projects import command_environ

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting over /tmp for the test needs root"),
]
CLEANS = "set -e\nrm -rf /var/lib/apt/lists/* /tmp/* /var/tmp/*\n"
PLACES = {"tmp": "/tmp", "var-tmp": "/var/tmp", "lists": "/var/lib/apt/lists"}
# /tmp comes last: what is mounted lies below it.
MOUNT = 'mount --bind "$0/lists" /var/lib/apt/lists && mount --bind "$0/var-tmp" /var/tmp && mount --bind "$0/tmp" /tmp'
# The interpreter may be root's own, so it stays readable; nothing else is.
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
NOBODY += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
USERS = pytest.mark.parametrize("machine", ["root", "nobody"], indirect=True)
MAKEFILE = "MODEL_NAME = m\nDATASET_NAME =\nCONTAINER_NAME = m\n\ninclude ../../recipes.mk\n"
MODEL = {
    ".s2i/environment": "ROUTES=m:m.predict:predict\nTRAIN_MODULE=m.train\n",
    "predict.py": "def predict(msg): return 1\n",
    "train.py": "def train(msg): return 1\n",
    "test/test_instances.json": "{}",
    "Makefile": MAKEFILE,
}


@dataclass(frozen=True)
class Machine:
    """Folders that stand for those of a machine; `prefix` makes the user of its commands."""

    folder: Path
    prefix: list[str]

    @property
    def model(self) -> Path:
        """The model directory, as seen from outside."""
        return self.folder / "tmp/ws/projects/income/m"

    @property
    def uid(self) -> int:
        """Who its commands run as."""
        return 65534 if self.prefix else 0

    def run(self, *command: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the workspace, as that user."""
        own = {"HOME": "/tmp/home", "MODELYARD_HOME": "/tmp/home/modelyard", "MODELYARD_ENGINE": "local"}
        return subprocess.run(
            ["unshare", "-m", "bash", "-c", f'{MOUNT} && cd /tmp/ws && exec "$@"', self.folder, *self.prefix, *command],
            env={**command_environ(os.environ), **own, **environ},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def succeed(self, *command: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run a command that must succeed, and must leave alone what is not the build's."""
        done = self.run(*command, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [name for name in PLACES if not (self.folder / name / "somebody-elses").is_file()] == []
        return done

    def labels(self, tag: str) -> Mapping[str, str]:
        """The labels of an image."""
        labels: Mapping[str, str] = json.loads(self.succeed("modelyard", "inspect", tag).stdout)["labels"]
        return labels


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A machine with others' files, and a workspace whose model has the field's usual setup.sh."""
    folder = tmp_path / "machine"
    for name, place in PLACES.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "somebody-elses").write_text("work")
        (folder / name).chmod(0o755 if name == "lists" else 0o1777)
        Path(place).mkdir(parents=True, exist_ok=True)
    init_workspace(folder / "tmp/ws")
    (folder / "tmp/home").mkdir()
    machine = Machine(folder, NOBODY if getattr(request, "param", "root") == "nobody" else [])
    write_files(machine.model, {**MODEL, "setup.sh": CLEANS})
    if machine.prefix:
        subprocess.run(["chown", "-R", "65534:65534", folder], check=True)
    yield machine
    shutil.rmtree(folder, ignore_errors=True)


@USERS
def test_it_is_not_run_and_one_line_says_so(machine):
    (machine.model / "setup.sh").write_text(f"{CLEANS}touch /var/tmp/it-ran\n")
    for words in (["build-predict"], ["build-train"], ["build-train", "SETUP="], ["build-train", "SETUP=0"]):
        said = machine.succeed("make", "-C", "projects/income/m", *words).stderr
        (line,) = [line for line in said.splitlines() if "setup.sh" in line]
        assert "warning: projects/income/m/setup.sh is not run: it is written for an image" in line
        assert "ENGINE=docker" in line and "SETUP=1" in line and "--run-setup" in line
    assert not (machine.folder / "var-tmp/it-ran").exists()
    assert machine.labels("m-predict")["io.modelyard.setup"] == "left out"


@USERS
def test_asked_for_it_is_shown_then_run_where_it_reaches_nothing_of_others(machine):
    (machine.model / "setup.sh").write_text(f"{CLEANS}echo it ran as $(id -u)\n")
    build = ("modelyard", "build", "projects/income/m", "train", "--json")
    left_out = json.loads(machine.succeed(*build).stdout)
    lines = machine.succeed("make", "-C", "projects/income/m", "build-train", "SETUP=1").stderr.splitlines()
    (shown,) = [number for number, line in enumerate(lines) if "warning: | rm -rf /var/lib/apt/lists/*" in line]
    (ran,) = [number for number, line in enumerate(lines) if line.endswith(f"it ran as {machine.uid}")]
    assert shown < ran
    labels, before = machine.labels("m-train"), left_out["labels"]
    assert (labels["io.modelyard.setup"], before["io.modelyard.setup"]) == ("run", "left out")
    assert labels["io.modelyard.environment.default"] != before["io.modelyard.environment.default"]
    again = json.loads(machine.succeed(*build).stdout)
    assert (again["id"], again["reused"]) == (left_out["id"], True)


def test_that_of_all_together(machine):
    machine.succeed("modelyard", "generate", "projects/income")
    said = machine.succeed("make", "-C", "projects/income/all", "build-all").stderr
    assert "warning: projects/income/all/setup.sh is not run" in said
    said = machine.succeed("make", "-C", "projects/income/all", "build-all", "SETUP=1").stderr
    assert "---> setup.sh of m" in said
    assert machine.labels("income-all-predict")["io.modelyard.setup"] == "run"


def test_an_edited_build_script_hears_what_was_asked(machine):
    script = machine.folder / "tmp/ws/build.sh"
    script.write_text(script.read_text() + "# edited\n")
    build = ("modelyard", "build", "projects/income/m", "train")
    assert "is not run" in machine.succeed(*build).stderr
    assert "warning: | rm -rf" in machine.succeed(*build, "--run-setup").stderr


def test_doctor_names_it_and_a_user_who_knows_is_not_told(machine):
    said = machine.run("modelyard", "doctor", "--offline").stdout
    assert "income/m: setup.sh is not run by the embedded engine" in said
    environ = {"MODELYARD_SKIP_SETUP": "1"}
    assert "setup.sh" not in machine.run("modelyard", "doctor", "--offline", **environ).stdout
    assert "setup.sh" not in machine.succeed("modelyard", "build", "projects/income/m", "train", **environ).stderr


def test_a_failing_one_fails_the_build_and_shows_its_last_lines(machine):
    (machine.model / "setup.sh").write_text("echo no such header\nexit 42\n")
    done = machine.run("modelyard", "build", "projects/income/m", "train", "--run-setup")
    assert done.returncode == 5
    assert "failed at 'setup: run setup.sh' with exit code 42" in done.stderr and "no such header" in done.stderr


def test_root_without_a_mount_namespace_is_refused(tmp_path):
    (tmp_path / "setup.sh").write_text("echo it ran\n")
    command = ["setpriv", "--bounding-set=-sys_admin", sys.executable, enclosure.__file__, tmp_path / "setup.sh"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "allows no mount namespace" in done.stdout and "it ran" not in done.stdout
