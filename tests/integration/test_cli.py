"""The command line with real processes: Ctrl-C and SIGTERM at every stage, two builds at once, an edited build.sh."""

import json
import re
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.machine.processes import start_time
from modelyard.workspace import ModelDirectory
from tests.conftest import write_files
from tests.integration.tiny_workspace import Tiny, free_port, interrupt, runs, tiny_workspace, wait_for

pytestmark = pytest.mark.integration

SIGNALS = pytest.mark.parametrize(
    ("number", "to_group", "code"),
    [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)],
    ids=["Ctrl-C", "SIGTERM"],
)
# Edited: another builder for predict, and a file of the workspace's own in every image.
EDITED = """\
#!/usr/bin/env bash
set -euo pipefail
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
builder=train
if [ "$3" = predict ]; then builder=tuned; fi
"$MODELYARD" stage "$2" "$3" "$context" --builder "$builder"
{more}
echo 7 > "$context/upload/src/lookup.txt"
"$MODELYARD" build --context "$context" --tag "$1"
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """One project with one model."""
    with tiny_workspace(tmp_path_factory.mktemp("cli")) as tiny:
        tiny.add_model("income", "rf")
        tiny.succeed("modelyard", "data", "projects")
        yield tiny


@pytest.fixture
def model(tiny: Tiny) -> Iterator[ModelDirectory]:
    """The model directory, as it was before after the test."""
    found = ModelDirectory(tiny.workspace.projects_root / "income" / "rf")
    before = {path: path.read_bytes() for path in found.path.rglob("*") if path.is_file()}
    yield found
    tiny.stop_all()
    for path in [path for path in found.path.rglob("*") if path.is_file() and path not in before]:
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)


def leftovers(tiny: Tiny) -> list[str]:
    """Half-made things: of environments, images, containers and models, and temporary folders."""
    markers = {"environments": "environment.json", "images": "image.json", "containers": "container.json"}
    found = list(tiny.home.glob("*/.*"))
    for kind, marker in markers.items():
        found += [path for path in tiny.home.glob(f"{kind}/*") if not (path / marker).is_file()]
    found += tiny.workspace.projects_root.glob("*/models/.*")
    found += (tiny.home.parent / "tmp").iterdir()
    return sorted(map(str, found))


def unique_sleep() -> str:
    """A command that goes on for ever, and is told from any other: a setup.sh sees none of this test's folders."""
    return f"sleep 600.{secrets.randbelow(10**9)}"


class TestInterruptions:
    @SIGNALS
    @pytest.mark.parametrize("stage", ["setup.sh", "assemble"])
    def test_build(self, tiny, model, number, to_group, code, stage):
        sleep = unique_sleep()
        script = {"setup.sh": "setup.sh", "assemble": ".s2i/bin/assemble"}[stage]
        write_files(model.path, {script: f"#!/bin/bash\nexec {sleep}\n"})
        command = ["modelyard", "build", str(model.path), "--run-setup"]
        ended, output = interrupt(tiny, command, number, when=lambda: runs(sleep), to_group=to_group)
        assert ended == code, output
        assert not runs(sleep)
        assert leftovers(tiny) == []
        assert "Traceback" not in output

    @SIGNALS
    def test_train(self, tiny, model, number, to_group, code):
        payload = json.dumps({"model_name": f"m{code}", "do": "sleep"})
        models = model.path.parent / "models"
        ended, output = interrupt(
            tiny,
            ["modelyard", "train", str(model.path), "--payload", payload],
            number,
            when=lambda: list(models.glob(f".m{code}.*.part")),
            to_group=to_group,
        )
        assert ended == code, output
        assert tiny.running() == []
        assert json.loads(tiny.succeed("modelyard", "ps", "--all", "--json")) == []
        assert leftovers(tiny) == []

    @SIGNALS
    @pytest.mark.parametrize("words", [[], ["--foreground"]], ids=["waiting", "foreground"])
    def test_serve(self, tiny, model, number, to_group, code, words):
        tiny.succeed("modelyard", "train", model.path, "--reuse")
        if not words:  # a model that never finishes loading
            predict = model.path / "predict.py"
            predict.write_text(f"import time\ntime.sleep(600)\n{predict.read_text()}")
        port = free_port()

        def is_under_way() -> bool:
            return any(container["port"] == port for container in tiny.running()) and (not words or answers(tiny, port))

        ended, output = interrupt(
            tiny,
            ["modelyard", "serve", str(model.path), "--port", str(port), *words],
            number,
            when=is_under_way,
            to_group=to_group,
        )
        assert ended == code, output
        assert tiny.running() == []
        assert leftovers(tiny) == []
        assert not processes_of(tiny)

    @SIGNALS
    def test_an_edited_build_script_and_all_it_started(self, tiny, model, number, to_group, code):
        sleep = unique_sleep()
        write_files(model.path, {"setup.sh": f"exec {sleep}\n"})
        command = ["modelyard", "build", str(model.path), "--run-setup"]
        with build_script(tiny, EDITED.format(more="").replace("tuned", "daemon")):
            ended, output = interrupt(tiny, command, number, when=lambda: runs(sleep), to_group=to_group)
        assert ended == code, output
        assert not runs(sleep)
        assert leftovers(tiny) == []

    @SIGNALS
    def test_data(self, tiny, model, number, to_group, code):
        script = model.path.parent / "make_data.py"
        before = script.read_text()
        mark = tiny.home.parent / f"data-{code}"
        part = mark.with_suffix(".part")
        script.write_text(
            f"import os, pathlib, time\n"
            f"pathlib.Path({str(part)!r}).write_text(str(os.getpid()))\n"
            f"os.rename({str(part)!r}, {str(mark)!r})\n"
            f"time.sleep(600)"
        )
        try:
            ended, output = interrupt(
                tiny, ["modelyard", "data", "projects/income"], number, when=mark.exists, to_group=to_group
            )
        finally:
            script.write_text(before)
        assert ended == code, output
        assert start_time(int(mark.read_text())) is None

    def test_a_make_target_too(self, tiny, model):
        sleep = unique_sleep()
        write_files(model.path, {"setup.sh": f"exec {sleep}\n"})
        command = ["make", "-C", str(model.path), "build-predict", "SETUP=1"]
        ended, _ = interrupt(tiny, command, signal.SIGINT, when=lambda: runs(sleep), to_group=True)
        assert ended != 0
        assert not runs(sleep)
        assert leftovers(tiny) == []


def answers(tiny: Tiny, port: int) -> bool:
    """Whether the model's test passes at a port."""
    return tiny.run("modelyard", "test", "projects/income/rf", "--port", str(port)).returncode == 0


def processes_of(tiny: Tiny) -> list[str]:
    """The processes whose command line names the home of the engine."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(tiny.home) in line]


class build_script:
    """An edited build.sh in the workspace, and the old one afterwards."""

    def __init__(self, tiny: Tiny, text: str) -> None:
        self.path, self.text = tiny.workspace.root / "build.sh", text

    def __enter__(self) -> None:
        self.before = self.path.read_text()
        self.path.write_text(self.text)

    def __exit__(self, *_: object) -> None:
        self.path.write_text(self.before)


class TestBuildScript:
    def test_edited_it_decides_what_is_in_the_image_and_who_builds_it(self, tiny, model):
        root = tiny.workspace.root
        tuned = root / "builders" / "tuned"
        subprocess.run(["cp", "-R", root / "builders" / "daemon", tuned], check=True)
        assemble = tuned / "s2i" / "bin" / "assemble"
        assemble.write_text(assemble.read_text().replace("exec ", 'echo "---> the tuned builder"\nexec ', 1))
        with build_script(tiny, EDITED.format(more="")):
            built = tiny.run("make", "-C", model.path, "build-predict")
            assert built.returncode == 0, built.stderr
            assert "the tuned builder" in built.stderr
            tiny.succeed("modelyard", "build", model.path, "train")
        for tag in ("income-rf-predict", "income-rf-train"):
            assert (app_of(tiny, tag) / "lookup.txt").read_text() == "7\n"
        tiny.succeed("modelyard", "build", model.path)
        assert not (app_of(tiny, "income-rf-predict") / "lookup.txt").exists()

    def test_one_that_calls_build_itself_does_not_call_itself(self, tiny, model):
        text = '#!/usr/bin/env bash\necho "mine"\n"$MODELYARD" build "$2" "$3" --tag "$1"\n'
        with build_script(tiny, text):
            done = tiny.run("modelyard", "build", model.path, "--tag", "nested", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["tags"][-1] in ("income-rf-predict:latest", "nested:latest")
        assert done.stderr.count("mine\n") == 1

    def test_one_that_fails_fails_the_build(self, tiny, model):
        with build_script(tiny, "#!/usr/bin/env bash\nexit 9\n"):
            assert "build.sh exited with 9" in tiny.fail("modelyard", "build", model.path, code=5)

    def test_it_can_be_called_by_hand(self, tiny, model):
        tiny.succeed("./build.sh", "by-hand", model.path, "train")
        assert "by-hand:latest" in tiny.succeed("modelyard", "images")
        for words in ([], ["x", model.path], ["x", model.path, "training"]):
            done = tiny.run("./build.sh", *words)
            assert done.returncode != 0 and "train" in done.stderr
        assert leftovers(tiny) == []


def app_of(tiny: Tiny, tag: str) -> Path:
    """The application of an image, as the embedded engine keeps it."""
    image = json.loads(tiny.succeed("modelyard", "inspect", tag))
    return tiny.home / "images" / image["id"] / "app"


def test_two_builds_of_one_model_at_once_make_one_image(tiny, model):
    write_files(model.path, {"setup.sh": "# both\nsleep 0.5\n"})
    command = ["modelyard", "build", str(model.path), "--json", "--run-setup"]
    options = {"cwd": tiny.workspace.root, "env": tiny.environ, "text": True}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) for _ in range(2)]
    ended = [(*process.communicate(timeout=60), process.returncode) for process in both]
    assert [code for _, _, code in ended] == [0, 0], ended
    first, second = (json.loads(out) for out, _, _ in ended)
    assert first["id"] == second["id"]
    assert {first["reused"], second["reused"]} == {True, False}
    assert any(re.search("another build is making it", err) for _, err, _ in ended)
    assert leftovers(tiny) == []


class TestTraining:
    @pytest.mark.parametrize(
        ("do", "said"),
        [
            ("raise", "RuntimeError: no convergence"),
            ("leave", "exited with 0 and no result"),
        ],
    )
    def test_a_train_function_that_fails_leaves_nothing(self, tiny, model, do, said):
        payload = json.dumps({"$ref": "data/numbers.txt", "model_name": "failing", "do": do})
        assert said in tiny.fail("modelyard", "train", model.path, "--payload", payload, code=6)
        assert list((model.path.parent / "models").glob("*failing*")) == []
        assert leftovers(tiny) == []

    def test_unchanged_it_is_reused_and_changed_it_is_not(self, tiny, model):
        command = ("modelyard", "train", model.path, "--reuse", "--json")
        tiny.succeed(*command)
        assert json.loads(tiny.succeed(*command))[0]["reused"]
        (model.path / "train.py").write_text((model.path / "train.py").read_text() + "\n# changed\n")
        [trained] = json.loads(tiny.succeed(*command))
        assert (trained["reused"], trained["result"]["mean"]) == (False, 3.0)


def test_a_daemon_whose_module_breaks_shows_why(tiny, model):
    tiny.succeed("modelyard", "train", model.path, "--reuse")
    (model.path / "predict.py").write_text("raise RuntimeError('on import')\ndef predict(msg): ...\n")
    said = tiny.fail("modelyard", "serve", model.path, "--port", str(free_port()), code=6)
    assert "/income-rf" in said and "on import" in said
    assert tiny.running() == []


def test_logs_follow_until_the_container_ends(tiny, model):
    tiny.succeed("modelyard", "train", model.path, "--reuse")
    tiny.succeed("modelyard", "serve", model.path, "--port", str(free_port()))
    with subprocess.Popen(
        ["modelyard", "logs", "-f", "income-rf"], env=tiny.environ, stdout=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stdout and follower.stdout.readline()
        tiny.succeed("modelyard", "stop", "income-rf")
        rest = follower.stdout.read()
    assert "stopped" in rest
    assert follower.returncode == 0
    wait_for(lambda: not processes_of(tiny))
