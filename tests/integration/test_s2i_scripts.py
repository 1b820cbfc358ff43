"""Where `modelyard s2i` finds scripts and variables, with builder images whose labels lead outside or have ONBUILD."""

import io
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelyard.engines.docker.client import Client, open_client
from modelyard.engines.docker.dockerfile import run_build
from modelyard.engines.docker.pulling import find_image
from modelyard.errors import InputError
from modelyard.images.layer import pack
from modelyard.s2i.command import build_dockerfile, build_image, rebuild_config, run_result, show_usage
from modelyard.s2i.config import BuildConfig
from tests.conftest import write_files

pytestmark = pytest.mark.integration

SCRIPTS = {
    "assemble": '#!/bin/bash\nmkdir -p /opt/app && cp -R /tmp/src/. /opt/app/ && echo "A=${A:-}, B=${B:-}"\n',
    "run": "#!/bin/bash\ncat /opt/app/main.txt\n",
    "usage": '#!/bin/bash\necho "use it well"\n',
}
TAG = f"s2i-scripts-{os.getpid()}:latest"


@pytest.fixture(scope="module", params=["docker", "podman"])
def client(request: pytest.FixtureRequest, image_engines) -> Client:
    return open_client(request.param, {**os.environ, **image_engines(request.param)})


@pytest.fixture
def make_builder(client: Client) -> Iterator[Callable[..., str]]:
    """Make a builder image of Dockerfile lines; it is gone in the end."""
    tags: list[str] = []

    def make(*lines: str) -> str:
        text = "\n".join([f"FROM {client.environ['MODELYARD_BASE_IMAGE']}", *lines])
        tags.append(f"s2i-scripts-{os.getpid()}-builder-{len(tags)}:latest")
        context = io.BytesIO(pack({"Dockerfile": text.encode()}))
        run_build(client, context, action="build a builder", on_output=lambda line: None, tag=tags[-1])
        return tags[-1]

    yield make
    for tag in tags:
        client.api.remove_image(tag, force=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_files(tmp_path / "source", {"main.txt": "hello"})
    return tmp_path / "source"


@pytest.fixture
def build(client: Client, source: Path, tmp_path: Path) -> Iterator[Callable[..., tuple[str, list[str]]]]:
    """Build the source; the tag is gone in the end."""

    def run(**options: Any) -> tuple[str, list[str]]:
        lines: list[str] = []
        config = BuildConfig(**{"source": str(source), "tag": TAG, **options})
        image = build_image(client, config, client.environ, lines.append, directory=tmp_path)
        return image, lines

    yield run
    if find_image(client, TAG):
        client.api.remove_image(TAG, force=True)


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    """A site with the scripts below /bin."""
    write_files(tmp_path / "site" / "bin", SCRIPTS)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def output_of(client: Client, image: str) -> list[str]:
    lines: list[str] = []
    run_result(client, image, lines.append)
    return lines


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_scripts_are_brought_from_where_the_label_leads(client, build, make_builder, website, tmp_path, scheme):
    place = f"{website}/bin" if scheme == "http" else f"file://{tmp_path}/site/bin"
    builder = make_builder(f"LABEL io.openshift.s2i.scripts-url={place}")
    image, _ = build(builder_image=builder)
    assert output_of(client, image) == ["hello"]
    assert (find_image(client, image) or {})["Config"]["Cmd"] == ["/tmp/scripts/run"]
    lines: list[str] = []
    show_usage(client, builder, {}, "never", lines.append)
    assert lines == ["use it well"]


def test_label_that_leads_to_no_scripts_is_named(build, make_builder, website):
    builder = make_builder(f"LABEL io.openshift.s2i.scripts-url={website}/nowhere")
    with pytest.raises(InputError, match=f"no assemble and no run, neither in .s2i/bin nor at {website}/nowhere"):
        build(builder_image=builder)


def test_folder_that_the_image_has_not_is_named(build, make_builder):
    builder = make_builder("LABEL io.openshift.s2i.scripts-url=image:///usr/libexec/s2i")
    with pytest.raises(InputError, match=r"has no folder /opt/typo, where --scripts-url says"):
        build(builder_image=builder, scripts_url="image:///opt/typo")
    with pytest.raises(InputError, match=r"has no folder /usr/libexec/s2i, where its label"):
        build(builder_image=builder)


def test_onbuild_runs_assemble_and_run_of_the_source(client, build, make_builder, source):
    builder = make_builder("WORKDIR /opt/app", "ONBUILD COPY . /opt/app/")
    if not (find_image(client, builder) or {})["Config"].get("OnBuild"):
        pytest.skip("Podman builds images of the OCI format, which has no ONBUILD: there is no such builder to test")
    write_files(
        source / ".s2i",
        {
            "bin/assemble": '#!/bin/bash\n[[ $A == 1 ]] && echo "assembled by $0" >> main.txt\n',
            "bin/run": "#!/bin/bash\necho onbuild $(cat main.txt)\n",
            "environment": "A=1\n",
        },
    )
    image, _ = build(builder_image=builder)
    assert output_of(client, image) == ["onbuild helloassembled by ./assemble"]


def test_environment_is_read_as_upstream_reads_it(client, build, make_builder, source, website):
    write_files(source / ".s2i", {"environment": "A=first\nthis is no variable\nB=x=y\nA=last\n"})
    image, lines = build(builder_image=make_builder(f"LABEL io.openshift.s2i.scripts-url={website}/bin"))
    assert "A=last, B=x=y" in lines
    assert "A=last" in (find_image(client, image) or {})["Config"]["Env"]


@pytest.mark.parametrize("is_repository", [False, True])
def test_errors_name_the_file_of_the_source(build, make_builder, source, is_repository):
    builder = make_builder("LABEL io.openshift.s2i.scripts-url=image:///usr/libexec/s2i")
    write_files(source / ".s2i", {"environment": "A=1\nexport B=2\n"})
    if is_repository:
        git = ["git", "-C", str(source), "-c", "user.name=A", "-c", "user.email=a@example.org"]
        for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "First"]):
            subprocess.run([*git, *command], check=True)
    with pytest.raises(InputError, match=f"^{source}/.s2i/environment:2: 'export B'"):
        build(builder_image=builder)


def test_rebuild_finds_a_relative_source_from_any_folder(client, build, make_builder, website, tmp_path):
    build(builder_image=make_builder(f"LABEL io.openshift.s2i.scripts-url={website}/bin"), source="source")
    (tmp_path / "source" / "main.txt").write_text("changed")
    config = rebuild_config(client, TAG, None)
    image = build_image(client, config, client.environ, lambda line: None, directory=Path("/"))
    assert output_of(client, image) == ["changed"]


def test_dockerfile_with_injections_artifacts_and_a_name_of_its_own(client, build, make_builder, source, tmp_path):
    assemble = (
        "#!/bin/bash\nset -e\nmkdir -p /opt/app && cp -R /tmp/src/. /opt/app/\n"
        'echo "$(cat /tmp/artifacts/old 2>/dev/null || echo nothing) $(cat /opt/in/token)" > /opt/app/main.txt\n'
    )
    save = "#!/bin/sh\necho kept > /tmp/old && exec tar -cf - -C /tmp old\n"
    write_files(tmp_path / "bin", {"assemble": assemble, "run": SCRIPTS["run"], "save-artifacts": save})
    write_files(tmp_path / "secrets", {"token": "t0ken"})
    builder = make_builder("RUN mkdir -m 0750 /opt/in", "LABEL io.openshift.s2i.destination=/tmp")
    previous, _ = build(
        builder_image=builder, scripts_url="bin", injections=("secrets:/opt/in",), destination="/tmp", copy=True
    )
    assert output_of(client, previous) == ["nothing t0ken"]
    config = BuildConfig(
        source=str(source),
        builder_image=builder,
        tag=TAG,
        incremental=True,
        scripts_url="bin",
        destination="/tmp",
        injections=("secrets:/opt/in",),
    )
    path = build_dockerfile(client, config, tmp_path / "out" / "Containerfile", lambda line: None, directory=tmp_path)
    assert path == tmp_path / "out" / "Containerfile"
    files = {each.relative_to(path.parent).as_posix(): each for each in path.parent.rglob("*") if each.is_file()}
    context = pack({name: each.read_bytes() for name, each in files.items()}, executable=list(files))
    image = run_build(
        client, io.BytesIO(context), action="build", on_output=lambda line: None, dockerfile="Containerfile"
    )
    assert output_of(client, image) == ["kept t0ken"]
    labels = (find_image(client, image) or {})["Config"]["Labels"]
    assert labels["io.openshift.s2i.scripts-url"] == "bin"
    assert labels["io.openshift.s2i.destination"] == "/tmp"
    container = client.api.create_container(image, command=["sh", "-c", "stat -c %a:%U /opt/in; ls -A /opt/in"])["Id"]
    client.api.start(container)
    client.api.wait(container)
    assert client.api.logs(container).decode().splitlines() == ["750:root"]
    client.api.remove_container(container, force=True)
    client.api.remove_image(image, force=True)


def test_dockerfile_does_not_replace_a_folder_of_its_users(client, make_builder, source, tmp_path, website):
    write_files(tmp_path / "out", {"upload/picture.png": "mine"})
    config = BuildConfig(
        source=str(source), builder_image=make_builder(f"LABEL io.openshift.s2i.scripts-url={website}/bin")
    )
    with pytest.raises(InputError, match=r"out/upload: has picture.png, which s2i did not write"):
        build_dockerfile(client, config, tmp_path / "out", lambda line: None, directory=tmp_path)
    assert (tmp_path / "out" / "upload" / "picture.png").exists()
