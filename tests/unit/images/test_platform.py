"""What a platform is made of, without anything being run."""

import tarfile
from pathlib import Path

import pytest

from modelyard.house import house_root
from modelyard.images.builder import BASE_LABEL, BuilderPlan
from modelyard.images.interpreter import Interpreter
from modelyard.images.platform import PASSWD, SHADOW, OldFile, plan_platform, write_platform
from modelyard.images.staging import NeedsContainerError

IMAGE = Interpreter(version="3.11.2", machine="x86_64", libc="glibc 2.36", path="/usr/bin/python3.11")
ARGUMENTS = {"BASE_IMAGE": "base", "NVIDIA_VISIBLE_DEVICES": "all"}


def builder(name: str, change: tuple[str, str] = ("", "")) -> BuilderPlan:
    text = (house_root() / "builders" / name / "Dockerfile").read_text()
    assert change[0] in text
    files = {f"builders/{name}/Dockerfile": text.replace(*change).encode(), "builders/tools.txt": b""}
    return BuilderPlan(name=name, variant="cpu", files=files, executable=frozenset(), arguments=ARGUMENTS)


def write(tmp_path: Path, files: dict[str, OldFile]) -> dict[str, tarfile.TarInfo]:
    change = write_platform(
        plan_platform(builder("train")),
        "sha256:base",
        files,
        IMAGE,
        tmp_path,
        environ={},
        network={},
        on_output=lambda line: None,
    )
    ((_, layer),) = change.layers
    with tarfile.open(layer.path) as archive:
        return {member.name: member for member in archive}


def test_what_a_dockerfile_sets_is_set():
    plan = plan_platform(builder("daemon"))
    assert plan.app_root == "/action"
    assert plan.environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert plan.environment["NVIDIA_DRIVER_CAPABILITIES"] == "void"
    assert plan.labels["io.openshift.expose-services"] == "5000:http"
    assert list(plan.command) == ["/usr/libexec/s2i/run"]
    assert plan.settings["User"] == "1001"
    assert plan.settings["WorkingDir"] == "/action"
    assert plan.settings["ExposedPorts"] == {"5000/tcp": {}}
    assert plan.settings["Healthcheck"]["Interval"] == 10 * 10**9
    assert plan.has_gateway
    assert not plan_platform(builder("train")).has_gateway


def test_the_base_is_a_label():
    assert plan_platform(builder("train")).labels_on("sha256:1")[BASE_LABEL] == "sha256:1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("USER 1001\n", "RUN apt-get install git\nUSER 1001\n"), r"Dockerfile:\d+: 'RUN apt-get install git' is not"),
        (("USER 1001\n", "COPY a /a\nUSER 1001\n"), r"Dockerfile:\d+: 'COPY a /a' is not"),
        (("--no-create-home", "--create-home"), r"Dockerfile:\d+: 'RUN useradd"),
        (("WORKDIR ${APP_ROOT}", "WORKDIR /elsewhere"), "its WORKDIR is not its APP_ROOT"),
    ],
)
def test_a_line_that_only_an_engine_can_do_is_named(change, said):
    with pytest.raises(NeedsContainerError, match=said):
        plan_platform(builder("train", change))


def test_the_user_is_added_and_files_keep_modes_and_owners(tmp_path):
    files = {
        PASSWD: OldFile(content=b"root:x:0:0::/root:/bin/sh\n", mode=0o644),
        SHADOW: OldFile(content=b"root:*::0:99999:7:::", mode=0o640, gid=42),
    }
    found = write(tmp_path, files)
    assert (found[SHADOW].mode, found[SHADOW].uid, found[SHADOW].gid) == (0o640, 0, 42)
    with tarfile.open(tmp_path / "user.tar") as archive:
        passwd = archive.extractfile(PASSWD).read().decode()
        shadow = archive.extractfile(SHADOW).read().decode()
    assert passwd.splitlines()[1] == "modelyard:x:1001:0::/model:/usr/sbin/nologin"
    assert shadow.splitlines() == ["root:*::0:99999:7:::", "modelyard:!::0:99999:7:::"]


def test_folders_are_for_any_user_of_the_group(tmp_path):
    found = write(tmp_path, {})
    for name in ("model", "opt/modelyard/environments", "opt/modelyard/cache"):
        assert (found[name].uid, found[name].gid, found[name].mode) == (1001, 0, 0o775)
    assert (found["opt/modelyard/network"].uid, found["opt/modelyard/network"].mode) == (0, 0o755)


def test_a_base_image_that_has_the_user_keeps_it(tmp_path):
    found = write(tmp_path, {PASSWD: OldFile(content=b"app:x:1001:1001::/app:/bin/sh\n", mode=0o644)})
    assert PASSWD not in found
