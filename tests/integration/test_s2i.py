"""`modelyard s2i` on a real engine, with foreign builder images: one of our own making, one with ONBUILD."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelyard.context.staging import stage_model
from modelyard.engines.docker import DockerEngine
from modelyard.engines.docker.client import Client, open_client
from modelyard.engines.docker.dockerfile import run_build
from modelyard.engines.docker.pulling import find_image
from modelyard.engines.docker.workshop import open_workshop
from modelyard.errors import BuildError, InputError
from modelyard.images.layer import pack
from modelyard.s2i.command import build_dockerfile, build_image, rebuild_config, run_result, show_usage
from modelyard.s2i.config import BuildConfig

pytestmark = pytest.mark.integration

ASSEMBLE = """\
#!/bin/bash
set -euo pipefail
echo "assembling as $(id -u), GREETING=${GREETING:-}"
cp -R /tmp/src/. /opt/app/
if [ -f /tmp/artifacts/cache/built ]; then echo "restored $(cat /tmp/artifacts/cache/built)"; fi
mkdir -p /opt/app/cache && echo first > /opt/app/cache/built
if [ -f /opt/secrets/token ]; then echo "token has $(wc -c < /opt/secrets/token) bytes"; fi
if [ -f /opt/app/fail ]; then echo "no such header"; exit 41; fi
"""
RUN = '#!/bin/bash\necho "running as $(id -u): $(cat /opt/app/main.txt)"\n'
SAVE = "#!/bin/bash\nexec tar -cf - -C /opt/app cache\n"
USAGE = '#!/bin/bash\necho "use it well"\n'
BUILDER = """\
FROM {base}
LABEL io.openshift.s2i.scripts-url=image:///usr/libexec/s2i
COPY bin /usr/libexec/s2i
RUN mkdir -p /opt/app && chown 1001:0 /opt/app && chmod g=u /opt/app && mkdir -m 2775 /srv/real && ln -s real /srv/link
WORKDIR /work
USER 1001
"""
ONBUILD = "FROM {base}\nWORKDIR /opt/app\nONBUILD COPY . /opt/app/\nONBUILD RUN chmod +x run\n"
NAMES = ("assemble", "run", "save-artifacts", "usage")


@pytest.fixture(scope="module", params=["docker", "podman"])
def client(request: pytest.FixtureRequest, image_engines) -> Client:
    return open_client(request.param, {**os.environ, **image_engines(request.param)})


@pytest.fixture(scope="module")
def builder(client: Client) -> Iterator[str]:
    scripts = {f"bin/{name}": text.encode() for name, text in zip(NAMES, (ASSEMBLE, RUN, SAVE, USAGE), strict=True)}
    yield from _builder(client, "s2i-test/builder:latest", BUILDER, scripts)


@pytest.fixture(scope="module")
def onbuild_builder(client: Client) -> Iterator[str]:
    yield from _builder(client, "s2i-test/onbuild:latest", ONBUILD, {})


def _builder(client: Client, tag: str, dockerfile: str, files: dict[str, bytes]) -> Iterator[str]:
    base = client.environ["MODELYARD_BASE_IMAGE"]
    context = pack({"Dockerfile": dockerfile.format(base=base).encode(), **files}, executable=list(files))
    run_build(client, io.BytesIO(context), action="build a builder", on_output=lambda line: None, tag=tag)
    yield tag
    client.api.remove_image(tag, force=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "main.txt").write_text("hello")
    return folder


@pytest.fixture
def build(client: Client, builder: str, source: Path, tmp_path: Path):
    """Build the source with the builder; the tag is gone in the end."""

    def run(**options: Any) -> tuple[str, list[str]]:
        lines: list[str] = []
        config = BuildConfig(**{"source": str(source), "builder_image": builder, "tag": TAG, **options})
        image = build_image(client, config, client.environ, lines.append, directory=tmp_path)
        return image, lines

    yield run
    if find_image(client, TAG):
        client.api.remove_image(TAG, force=True)


TAG = "s2i-test/result:latest"


def run_image(client: Client, image: str) -> list[str]:
    lines: list[str] = []
    run_result(client, image, lines.append)
    return lines


def run_command(client: Client, image: str, command: str) -> list[str]:
    lines: list[str] = []
    with open_workshop(client, image) as workshop:
        workshop.execute(["sh", "-c", command], user="0", environment={}, on_output=lines.append)
    return lines


def labels(client: Client, image: str) -> dict[str, str]:
    found = find_image(client, image)
    assert found is not None
    return found["Config"]["Labels"]


def read_all(client: Client, image: str) -> bytes:
    """Everything an image is made of: layers, configuration, history."""
    return b"".join(client.api.get_image(image))


def test_source_is_assembled_and_runs_as_the_builders_user(client, build, source):
    image, lines = build(environment={"GREETING": "a,b=c d"})
    assert "assembling as 1001, GREETING=a,b=c d" in lines
    assert run_image(client, image) == ["running as 1001: hello"]
    found = find_image(client, image)
    assert "GREETING=a,b=c d" in found["Config"]["Env"]
    assert found["Config"]["Cmd"] == ["/usr/libexec/s2i/run"]
    assert found["Config"]["Labels"]["io.openshift.s2i.build.image"] == "s2i-test/builder:latest"
    assert found["Config"]["Labels"]["io.openshift.s2i.build.source-location"] == str(source)


def test_scripts_of_the_source_come_before_the_images(client, build, source):
    (source / ".s2i" / "bin").mkdir(parents=True)
    (source / ".s2i" / "bin" / "run").write_text("#!/bin/bash\necho my own run\n")
    (source / ".s2i" / "environment").write_text("GREETING=from the file")
    image, lines = build()
    assert "assembling as 1001, GREETING=from the file" in lines
    assert run_image(client, image) == ["my own run"]


def test_scripts_url_comes_before_both(client, build, source, tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "run").write_text("#!/bin/bash\necho from the url\n")
    (source / ".s2i" / "bin").mkdir(parents=True)
    (source / ".s2i" / "bin" / "run").write_text("#!/bin/bash\necho my own run\n")
    image, _ = build(scripts_url="file://scripts")
    assert run_image(client, image) == ["from the url"]


def test_ignore_file_and_exclude(client, build, source):
    (source / "secret.txt").write_text("x")
    (source / "keep.log").write_text("x")
    (source / "drop.log").write_text("x")
    (source / ".s2iignore").write_text("*.log\n!keep.log\n")
    (source / ".s2i" / "bin").mkdir(parents=True)
    (source / ".s2i" / "bin" / "run").write_text("#!/bin/bash\ncd /opt/app && echo *.txt *.log\n")
    image, _ = build(exclude="secret")
    assert run_image(client, image) == ["main.txt keep.log"]


def test_incremental_build_restores_what_save_artifacts_streams(build):
    assert any("a clean build" in line for line in build(incremental=True)[1])
    assert "restored first" in build(incremental=True)[1]


def test_folders_of_the_image_stay_as_they_are_and_files_keep_their_modes(client, build, builder, source, tmp_path):
    """What is uploaded, injected or restored brings folders of its own only; a link to a folder stays a link."""
    for name in ("tls/private", "linked/mine"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "key").write_text("x")
        (tmp_path / name / "key").chmod(0o400)
    (source / "secret").write_text("x")
    (source / "secret").chmod(0o400)
    (source / "own").mkdir(mode=0o750)
    (source / "own" / "tool").touch(mode=0o711)
    show = "stat -c '%n %a %u:%g %F' /tmp /etc/ssl /etc/ssl/private /srv/real /srv/link {} | sort"
    places = "/tmp/src/secret /tmp/src/own /tmp/src/own/tool /srv/real/mine/key"
    (source / ".s2i" / "bin").mkdir(parents=True)
    (source / ".s2i" / "bin" / "run").write_text(f"#!/bin/bash\n{show.format(places)}\n")
    before = run_command(client, builder, show.format(""))
    build()
    image, _ = build(injections=(f"{tmp_path}/tls:/etc/ssl", f"{tmp_path}/linked:/srv/link"), incremental=True)
    after = [
        "/srv/real/mine/key 400 1001:0 regular empty file",
        "/tmp/src/own 750 1001:0 directory",
        "/tmp/src/own/tool 711 1001:0 regular empty file",
        "/tmp/src/secret 400 1001:0 regular file",
    ]
    assert run_image(client, image) == sorted([*before, *after])
    assert any(line.startswith("/tmp 1777 0:0") for line in before)
    assert "/srv/link 777 0:0 symbolic link" in before


def test_restored_artifacts_belong_to_who_assembles(build, source):
    (source / ".s2i" / "bin").mkdir(parents=True)
    move = "if [ -d /tmp/artifacts ]; then mv /tmp/artifacts/cache /opt/app/moved && ls /opt/app/moved; fi\n"
    (source / ".s2i" / "bin" / "assemble").write_text(
        f"#!/bin/bash\nset -e\nmkdir -p /opt/app/cache\ntouch /opt/app/cache/built\n{move}"
    )
    (source / ".s2i" / "bin" / "run").write_text("#!/bin/bash\n")
    build()
    assert "built" in build(incremental=True)[1]


def test_named_user_reads_what_only_its_owner_may(build, source):
    (source / "main.txt").chmod(0o400)
    (source / ".s2i" / "bin").mkdir(parents=True)
    (source / ".s2i" / "bin" / "assemble").write_text("#!/bin/bash\nid -un && cat /tmp/src/main.txt\n")
    assert build(assemble_user="nobody")[1] == ["nobody", "hello"]
    with pytest.raises(InputError, match="the user 'nosuch' is none of the builder image's"):
        build(assemble_user="nosuch")


def test_injected_secret_is_seen_by_assemble_and_is_in_no_layer(client, build, tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("s3cr3t-token-value")
    image, lines = build(injections=(f"{tmp_path}/secrets:/opt/secrets",))
    assert "token has 18 bytes" in lines
    assert b"s3cr3t-token-value" not in read_all(client, image)


def test_injections_without_a_target_or_with_a_relative_one_go_to_the_working_directory(build, source, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    (source / ".s2i" / "bin").mkdir(parents=True)
    (source / ".s2i" / "bin" / "assemble").write_text("#!/bin/bash\nls -d $PWD/* $PWD/sub/* | grep -E '/(a|b)$'\n")
    assert build(injections=("a;b:sub",))[1] == ["/work/a", "/work/sub/b"]


def test_values_are_the_images_as_they_were_written(client, build):
    value = """a "b" 'c' $HOME \\ #"""
    image, _ = build(environment={"SAID": value}, labels={"said": value})
    assert labels(client, image)["said"] == value
    assert run_command(client, image, 'printf "%s" "$SAID"') == [value]


def test_labels_that_assemble_leaves_are_the_images(client, build, source):
    (source / ".s2i" / "bin").mkdir(parents=True)
    assemble = source / ".s2i" / "bin" / "assemble"
    text = '{"labels": [{"team": "x y", "io.k8s.display-name": "mine"}, {"n": "$1"}]}'
    assemble.write_text(f"#!/bin/bash\nmkdir /tmp/.s2i && echo '{text}' > /tmp/.s2i/image_metadata.json\n")
    image, _ = build(labels={"team": "other"})
    assert labels(client, image).items() >= {"team": "x y", "io.k8s.display-name": "mine", "n": "$1"}.items()
    assemble.write_text("#!/bin/bash\nmkdir /tmp/.s2i && echo '[1]' > /tmp/.s2i/image_metadata.json\n")
    with pytest.raises(
        BuildError, match=r"/tmp/\.s2i/image_metadata\.json, which assemble wrote: is no list of labels"
    ):
        build()


def test_volume_is_mounted_while_assembling_only(client, build, source, tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "token").write_text("mounted-token-value")
    image, lines = build(volumes=(f"{tmp_path}/wheels:/opt/secrets:ro",))
    assert "token has 19 bytes" in lines
    assert b"mounted-token-value" not in read_all(client, image)


def test_assemble_user_runs_assemble_and_not_the_application(client, build):
    image, lines = build(assemble_user="0")
    assert any(line.startswith("assembling as 0") for line in lines)
    assert run_image(client, image) == ["running as 1001: hello"]


def test_user_that_is_not_allowed_is_an_error(build):
    with pytest.raises(InputError, match="is 0, which --allowed-uids 1- does not allow"):
        build(assemble_user="0", allowed_uids="1-")


def test_users_of_onbuild_runtime_and_previous_images_are_checked_as_well(client, build, onbuild_builder, source):
    base = client.environ["MODELYARD_BASE_IMAGE"]
    runtime = {"runtime_image": base, "runtime_artifacts": ("/opt/app:/srv",), "allowed_uids": "1-"}
    with pytest.raises(InputError, match=r"the user of assemble-runtime in .* is 0, which --allowed-uids 1- does not"):
        build(**runtime)
    build(**runtime, assemble_runtime_user="1001")
    with pytest.raises(InputError, match=r"the user of s2i-test/result:latest is 0, which"):
        build(incremental=True, allowed_uids="1-")
    for instruction, user in (("user\t0:0", "0"), ("USER root", "'root'"), ("USER 1001\nONBUILD USER 0", "0")):
        dockerfile = f"FROM {{base}}\nONBUILD {instruction}\nUSER 1001\n"
        for builder in _builder(client, "s2i-test/onbuild-user:latest", dockerfile, {}):
            if not (find_image(client, builder) or {})["Config"].get("OnBuild"):
                pytest.skip("Podman builds images of the OCI format, which has no ONBUILD")
            with pytest.raises(InputError, match=f"ONBUILD instructions of .* change to is {user}, "):
                build(builder_image=builder, allowed_uids="1-")
    with pytest.raises(InputError, match="the user of s2i-test/onbuild:latest is 0, which"):
        build(builder_image=onbuild_builder, allowed_uids="1-")


def test_only_allowed_users_run_anything_of_the_image(client, build, source):
    """The container waits, and empties what was injected, with the image's own programs."""
    (source / ".s2i" / "bin").mkdir(parents=True)
    (source / ".s2i" / "bin" / "assemble").write_text("#!/bin/bash\nstat -c %u /proc/[0-9]* | sort -u\n")
    assert build(allowed_uids="1-", injections=(f"{source}:/opt/in",))[1] == ["1001"]


def test_failed_assemble_is_its_exit_code_and_last_lines_and_leaves_nothing(client, build, source):
    (source / "fail").touch()
    with pytest.raises(BuildError) as error:
        build()
    assert "exit code 41" in str(error.value)
    assert "no such header" in str(error.value)
    assert find_image(client, TAG) is None
    assert not client.api.containers(all=True, filters={"name": f"modelyard-workshop-.*-{os.getpid()}-"})


def test_builder_without_labels_is_named(client, build):
    with pytest.raises(InputError, match=r"no label io.openshift.s2i.scripts-url, so it is no builder image"):
        build(builder_image=client.environ["MODELYARD_BASE_IMAGE"])


def test_image_scripts_url_helps_a_builder_without_labels(client, build, source, tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "assemble").write_text("#!/bin/bash\nmkdir -p /opt/app && cp -R /tmp/src/. /opt/app/\n")
    (tmp_path / "scripts" / "run").write_text(RUN)
    image, _ = build(builder_image=client.environ["MODELYARD_BASE_IMAGE"], scripts_url=str(tmp_path / "scripts"))
    assert run_image(client, image) == ["running as 0: hello"]


def test_commit_of_a_repository_is_built_and_labelled(client, build, source):
    git = ["git", "-C", str(source), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "First"], check=True)
    subprocess.run([*git, "tag", "v1"], check=True)
    (source / "main.txt").write_text("second")
    subprocess.run([*git, "commit", "-q", "-a", "-m", "Second"], check=True)
    (source / "main.txt").write_text("not committed")
    image, _ = build()
    assert run_image(client, image) == ["running as 1001: second"]
    assert labels(client, image)["io.openshift.s2i.build.commit.message"] == "Second"
    old, _ = build(source=f"file://{source}#v1")
    assert run_image(client, old) == ["running as 1001: hello"]
    assert labels(client, old)["io.openshift.s2i.build.commit.ref"] == "v1"
    subprocess.run(["git", "clone", "-q", "--bare", str(source), str(source.parent / "bare.git")], check=True)
    bare, _ = build(source=f"file://{source.parent}/bare.git", ref="v1")
    assert run_image(client, bare) == ["running as 1001: hello"]
    assert run_image(client, build(source=f"{source.parent}/bare.git")[0]) == ["running as 1001: second"]
    copied, _ = build(copy=True)
    assert run_image(client, copied) == ["running as 1001: not committed"]


def test_rebuild_reads_the_labels(client, build, source, tmp_path):
    build(application_name="the app")
    (source / "main.txt").write_text("changed")
    config = rebuild_config(client, TAG, None)
    assert config.application_name == "the app"
    image = build_image(client, config, client.environ, lambda line: None, directory=tmp_path)
    assert run_image(client, image) == ["running as 1001: changed"]
    with pytest.raises(InputError, match="has no label"):
        rebuild_config(client, client.environ["MODELYARD_BASE_IMAGE"], None)


def test_command_line_of_rebuild_and_usage(client, builder, build, source, tmp_path):
    build()
    (source / ".s2i" / "bin").mkdir(parents=True)
    (source / ".s2i" / "bin" / "assemble").write_text("#!/bin/bash\ncat $(dirname $0)/../src/main.txt; ls /elsewhere\n")
    old = find_image(client, TAG)["Id"]
    s2i = [sys.executable, "-m", "modelyard", "-C", str(tmp_path), "s2i"]
    flags = ["-d", "/elsewhere", "--incremental", "--rm", "--callback-url", "http://127.0.0.1:9/", "--save-temp-dir"]
    engine = ["--engine", client.socket.engine]
    environ = {**os.environ, **client.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([*s2i, "rebuild", TAG, *flags, *engine], capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert {"---> artifacts: 1 of s2i-test/result:latest are used again", "helloartifacts"} <= {*lines}
    assert "--callback-url http://127.0.0.1:9/ did not take the outcome" in done.stderr
    assert (next(tmp_path.glob("modelyard-s2i-*")) / "upload" / "src" / "main.txt").is_file()
    assert find_image(client, old) is None
    usage = [*s2i, "usage", builder, "-d", "/elsewhere", *engine]
    assert subprocess.run(usage, capture_output=True, text=True, env=environ).stdout == "use it well\n"


def test_usage_is_the_builders(client, builder):
    lines: list[str] = []
    show_usage(client, builder, {}, "never", lines.append)
    assert lines == ["use it well"]


def test_onbuild_builder_does_the_rest(client, build, onbuild_builder, source):
    if client.is_podman and not (find_image(client, onbuild_builder) or {})["Config"].get("OnBuild"):
        pytest.skip("Podman builds images of the OCI format, which has no ONBUILD: there is no such builder to test")
    (source / "run").write_text("#!/bin/sh\necho onbuild $(cat main.txt)\n")
    (source / "run").chmod(0o755)
    (source / "main.txt").chmod(0o400)
    image, _ = build(builder_image=onbuild_builder)
    assert run_image(client, image) == ["onbuild hello"]
    assert run_command(client, image, "stat -c %a /opt/app/main.txt /tmp") == ["400", "1777"]
    with pytest.raises(InputError, match="ONBUILD"):
        build(builder_image=onbuild_builder, block_onbuild=True)


def test_runtime_image_gets_the_artifacts_alone(client, build, source):
    (source / ".s2i" / "bin").mkdir(parents=True)
    (source / ".s2i" / "bin" / "run").write_text("#!/bin/bash\ncat /srv/app/main.txt; ls /usr/libexec/s2i\n")
    (source / ".s2i" / "bin" / "assemble-runtime").write_text("#!/bin/bash\necho ready >> /srv/app/main.txt\n")
    image, _ = build(runtime_image=client.environ["MODELYARD_BASE_IMAGE"], runtime_artifacts=("/opt/app:/srv",))
    lines: list[str] = []
    with pytest.raises(Exception, match="exited with 2"):
        run_result(client, image, lines.append)
    assert lines[0] == "helloready"
    assert "No such file" in lines[1]


def test_dockerfile_builds_the_same(client, builder, source, tmp_path):
    (source / ".s2i" / "environment").parent.mkdir()
    (source / ".s2i" / "environment").write_text('GREETING="$HOME \\" quoted"')
    config = BuildConfig(source=str(source), builder_image=builder)
    path = build_dockerfile(client, config, tmp_path / "out" / "Dockerfile", lambda line: None, directory=tmp_path)
    files = {
        item.relative_to(path.parent).as_posix(): item.read_bytes() for item in path.parent.rglob("*") if item.is_file()
    }
    lines: list[str] = []
    image = run_build(client, io.BytesIO(pack(files)), action="build", on_output=lines.append)
    assert run_image(client, image) == ["running as 1001: hello"]
    assert 'GREETING=$HOME \\" quoted' in find_image(client, image)["Config"]["Env"]
    client.api.remove_image(image, force=True)


def test_callback_is_told_the_outcome(build, source):
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        build(callback_url=url)
        (source / "fail").touch()
        with pytest.raises(BuildError):
            build(callback_url=url)
        server.shutdown()
    assert [item["success"] for item in told] == [True, False]
    assert told[0]["labels"]["io.openshift.s2i.build.image"] == "s2i-test/builder:latest"
    assert told[0]["labels"]["io.openshift.s2i.scripts-url"] == "image:///usr/libexec/s2i"
    assert "labels" not in told[1]
    assert "assembling as 1001" in told[0]["payload"]


def test_command_line_takes_upstreams_arguments(client, builder, source, tmp_path):
    command = [sys.executable, "-m", "modelyard", "-C", str(tmp_path), "s2i", "build", "source", builder, TAG]
    flags = ["-c", "-e", "GREETING=a,b", "--label", "team=x", "--rm", "--run", "--engine", client.socket.engine]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, env={**os.environ, **client.environ})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "running as 1001: hello"
    assert "GREETING=a,b" in done.stderr
    assert labels(client, TAG)["team"] == "x"
    client.api.remove_image(TAG, force=True)


def test_our_own_builder_image_is_one_for_s2i(client, image_engines, make_workspace, tmp_path):
    """Upstream's binary does what this does: upload the source, run assemble with no stages named, commit."""
    files = {
        "projects/demo/m/.s2i/environment": "TRAIN_MODULE=train\n",
        "projects/demo/m/train.py": "import six\ndef train(msg): return {'six': six.PY3, 'got': msg.payload}\n",
        "projects/demo/m/requirements_train.txt": "six",
    }
    workspace = make_workspace(files)
    context = stage_model(
        workspace, workspace.model_directory(workspace.root / "projects/demo/m"), "train", tmp_path / "c"
    )
    engine = DockerEngine(client.socket, client.environ)
    config = BuildConfig(source=str(context.source), builder_image=engine.builder(context), tag=TAG, copy=True)
    image = build_image(client, config, client.environ, lambda line: None, directory=tmp_path)
    api = client.api
    size = api.inspect_image(image)["Size"]
    for _ in range(2):
        # What the image before saved is used, so nothing is asked for, and it is not in the image twice.
        offline = replace(config, incremental=True, environment={"UV_OFFLINE": "1"})
        lines: list[str] = []
        image = build_image(client, offline, client.environ, lines.append, directory=tmp_path)
        assert "---> requirements: use what the previous image saved" in lines
        assert api.inspect_image(image)["Size"] <= size + 100_000
    links = "stat -c %h /opt/modelyard/environments/default/lib/python3*/site-packages/six.py"
    assert run_command(client, image, links) == ["2"]
    assert run_command(client, image, "ls -d /tmp/artifacts") != ["/tmp/artifacts"]
    container = api.create_container(image, environment={"TRAIN": "1", "PAYLOAD": '{"a": 1}'})["Id"]
    try:
        api.start(container)
        assert api.wait(container)["StatusCode"] == 0, api.logs(container).decode()
        assert json.loads(api.logs(container).decode().splitlines()[-1]) == {"six": True, "got": {"a": 1}}
        assert api.inspect_container(container)["Config"]["User"] == "1001"
    finally:
        api.remove_container(container, force=True)
        api.remove_image(TAG, force=True)
