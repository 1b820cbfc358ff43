"""Images of Dockerfiles beside those that a real engine builds of them, and running there."""

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.sockets import find_socket
from modelyard.engines.oci.bases import Base, open_base
from modelyard.engines.oci.layout import Layout
from modelyard.images.platforms import TargetPlatform
from tests.base_images import ARCHITECTURE

HERE = TargetPlatform(architecture=ARCHITECTURE)

# What it says of itself is in every line: settings, folders, owners, archives, a stage, what is left out.
DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS tools
COPY tools/ /opt/tools/
FROM ${BASE}
ARG VERSION=1
ENV APP=/app VERSION="${VERSION} of $HOME_NOT" \\
    # a comment
    LAST=$APP
WORKDIR $APP
WORKDIR sub
COPY main.py .
COPY *.txt lib/ texts/
COPY --chown=7:8 lib new
COPY link copied
ADD data.tar.gz data/
ADD ["with blank", "/with blank"]
COPY --from=tools /opt/tools/run /usr/local/bin/
LABEL a="x y" b='$VERSION'
EXPOSE 80 53/udp
VOLUME /data
USER 1001:0
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1m CMD test -f /app
ENTRYPOINT ["python3"]
CMD ["main.py", "$VERSION"]
"""
FILES = {
    "main.py": "print('hello')\n",
    "one.txt": "1",
    "two.txt": "2",
    "left.txt": "out",
    "lib/a.py": "a",
    "lib/__pycache__/a.pyc": "bytes",
    "lib/deep/er/b.py": "b",
    "lib/deep/secret/.env": "s",
    "lib/deep/secret/kept": "k",
    "tools/run": "#!/bin/sh\n",
    "with blank": "w",
    ".dockerignore": "# comment\nleft.*\n**/__pycache__\nlib/deep/s*\n!lib/deep/secret/kept\n",
}


@pytest.fixture
def environ(image_engines, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, **image_engines("docker"), "MODELYARD_HOME": str(tmp_path / "home")}


def open_client(environ: Mapping[str, str]) -> Client:
    socket = find_socket("docker", environ)
    assert socket is not None
    return Client(socket, environ)


def write_context(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
        (folder / name).chmod(0o644)
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    return folder


def modelyard(environ: Mapping[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "modelyard", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def describe(image: Base, below: Base) -> dict[str, object]:
    """What an image adds, without times, and without the folders of the base that engines note again."""
    found: dict[str, object] = {}
    for each in image.tree.walk():
        member, before = each.member, below.tree.look(each.path)
        is_old_folder = before is not None and (before.member.kind, member.kind) == ("folder", "folder")
        if not is_old_folder and (before is None or before.layer != each.layer):
            content = hashlib.sha256(image.read(each)).hexdigest() if member.kind == "file" else member.target
            found[each.path] = (member.kind, f"{member.mode:o}", member.uid, member.gid, content)
    return found


@pytest.mark.skipif(shutil.which("docker") is None, reason="NOT COMPARED: there is no docker command")
def test_it_is_the_image_that_docker_builds(environ, saved_base, tmp_path):
    context = write_context(tmp_path / "context", {**FILES, "Dockerfile": DOCKERFILE})
    (context / "tools" / "run").chmod(0o755)
    (context / "link").symlink_to("one.txt")
    with tarfile.open(context / "data.tar.gz", "w:gz") as archive:
        archive.add(context / "lib" / "a.py", arcname="inside/a.py")
    arguments = ["--build-arg", "VERSION=2"]
    tag = f"modelyard-parity-{os.getpid()}"
    command = ["docker", "build", "-q", "-t", tag, *arguments, "--build-arg", f"BASE={environ['MODELYARD_BASE_IMAGE']}"]
    subprocess.run([*command, context], env={**environ, "DOCKER_BUILDKIT": "0"}, check=True, capture_output=True)
    client = open_client(environ)
    try:
        with (tmp_path / "theirs.tar").open("wb") as file:
            file.writelines(client.api.get_image(tag))
    finally:
        client.api.remove_image(tag, force=True)
    place = f"oci:{tmp_path / 'ours'}:v1"
    words = ["--build-arg", f"BASE=oci:{saved_base}:base", "-o", place, *arguments, str(context), "x"]
    modelyard(environ, "image", "build", *words)
    layout = Layout(saved_base)  # has the base compressed
    ours = open_base(place, HERE, environ, layout)
    theirs = open_base(f"docker-archive:{tmp_path / 'theirs.tar'}", HERE, environ, layout)
    below = open_base("base", HERE, environ, layout)
    assert describe(ours, below) == describe(theirs, below)
    own = {key: value for key, value in theirs.config.items() if value and key not in ("Image", "Hostname")}
    assert ours.config == own


MAIN = """\
import os, pickle, sys
pictures = {0: [[0, 0, 9, 9]] * 20, 1: [[9, 9, 0, 0]] * 20}  # two digits of four pixels
model = {digit: [sum(column) / len(rows) for column in zip(*rows)] for digit, rows in pictures.items()}
with open(os.environ["MODEL_PATH"], "wb") as file:
    pickle.dump(model, file)
print("trained")
"""
TRAIN = 'FROM base\nENV MODEL_PATH=/model/mnist.pkl\nCOPY main.py .\nCMD ["python3", "main.py"]\n'


def test_a_train_dockerfile_runs_and_leaves_its_model(environ, saved_base, tmp_path):
    """FROM, ENV, COPY main.py . and CMD, as people write them by hand."""
    context = write_context(tmp_path / "context", {"main.py": MAIN, "train.Dockerfile": TRAIN})
    modelyard(environ, "copy", f"oci:{saved_base}:base", f"oci:{environ['MODELYARD_HOME']}/oci:base")
    name, archive = f"modelyard-mnist-{os.getpid()}", tmp_path / "mnist.tar"
    words = ["-f", str(context / "train.Dockerfile"), "-o", f"docker-archive:{archive}", str(context), name]
    first = modelyard(environ, "image", "build", *words).stdout
    assert modelyard(environ, "image", "build", *words).stdout == first
    client = open_client(environ)
    with archive.open("rb") as file:
        list(client.api.load_image(file, quiet=True))
    models = tmp_path / "models"
    models.mkdir()
    host = client.api.create_host_config(binds=[f"{models}:/model"])
    container = client.api.create_container(f"{name}:latest", host_config=host)["Id"]
    try:
        client.api.start(container)
        assert client.api.wait(container)["StatusCode"] == 0, client.api.logs(container)
        assert client.api.logs(container) == b"trained\n"
    finally:
        client.api.remove_container(container, force=True)
        client.api.remove_image(f"{name}:latest", force=True)
    model = pickle.loads((models / "mnist.pkl").read_bytes())
    assert model == {0: [0.0, 0.0, 9.0, 9.0], 1: [9.0, 9.0, 0.0, 0.0]}
