"""Every make target of a model directory, a project, an all/ and the workspace does its work, or fails.

The shell of make is dash: a workspace made by `modelyard init`, models that need no package.
"""

import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.tiny_workspace import Tiny, free_port, tiny_workspace

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("dash"), reason="no dash here, and /bin/sh may be anything"),
]

TARGET = re.compile(r"^\.PHONY:((?:.*\\\n)*.*)$", re.MULTILINE)
FAILED = 2  # make's own exit code where a recipe failed


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """Two projects: `income` with two models, `tumor` with one."""
    with tiny_workspace(tmp_path_factory.mktemp("make")) as tiny:
        for project, name in (("income", "rf"), ("income", "gb"), ("tumor", "svm")):
            tiny.add_model(project, name)
        tiny.succeed(*make(PROJECT, "generate"))
        yield tiny


@pytest.fixture(autouse=True)
def nothing_goes_on_running(tiny: Tiny) -> Iterator[None]:
    """Stop what a test leaves running."""
    yield
    tiny.stop_all()


@pytest.fixture
def port() -> int:
    """A free port."""
    return free_port()


def make(folder: str, *words: str) -> tuple[str, ...]:
    """The command of a make target, run under dash."""
    return ("make", "SHELL=/usr/bin/dash", "-C", folder, *words)


MODEL, PROJECT, ALL, OTHER = "projects/income/rf", "projects/income", "projects/income/all", "projects/tumor"


def models_of(tiny: Tiny, project: str) -> set[str]:
    """The names of a project's trained models."""
    return {path.stem for path in (tiny.workspace.root / project / "models").glob("*.json")}


def images_of(tiny: Tiny) -> set[str]:
    """The tags there are."""
    return {tag for image in json.loads(tiny.succeed("modelyard", "images", "--json")) for tag in image["tags"]}


class TestModelDirectory:
    def test_train_predict_test_stop(self, tiny, port):
        tiny.succeed(*make(MODEL, "build-train"))
        assert "income-rf-train:latest" in images_of(tiny)
        assert "accuracy 0.75" in tiny.succeed(*make(MODEL, "train"))
        assert "income_rf" in models_of(tiny, PROJECT)
        tiny.succeed(*make(MODEL, "build-predict"))
        assert "income-rf-predict:latest" in images_of(tiny)
        assert f"POST http://127.0.0.1:{port}/income-rf" in tiny.succeed(*make(MODEL, "predict", f"PORT={port}"))
        assert '{"model": "income_rf", "predictions": [0.0, 2.0]}' in tiny.succeed(
            *make(MODEL, "test-endpoint", f"PORT={port}")
        )
        [container] = tiny.running()
        assert (container["name"], container["host"], container["port"]) == ("income-rf", "127.0.0.1", port)
        tiny.succeed(*make(MODEL, "stop"))
        assert tiny.running() == []
        assert "stopped" in tiny.succeed(*make(MODEL, "logs"))

    def test_variables_on_the_command_line_take_effect(self, tiny, port):
        tiny.succeed(*make(MODEL, "train", "MODEL_NAME=second", "CONTAINER_NAME=mine"))
        assert "second" in models_of(tiny, PROJECT)
        assert "mine-train:latest" in images_of(tiny)
        words = ("MODEL_NAME=second", "CONTAINER_NAME=mine", f"PORT={port}", "HOST=127.0.0.2")
        tiny.succeed(*make(MODEL, "predict", *words))
        [container] = tiny.running()
        assert (container["name"], container["host"], container["port"]) == ("mine", "127.0.0.2", port)
        assert '"model": "second"' in tiny.succeed(*make(MODEL, "test-endpoint", *words))
        tiny.fail(*make(MODEL, "test-endpoint", f"PORT={port}"), code=FAILED)  # nobody listens on 127.0.0.1
        tiny.succeed(*make(MODEL, "stop", *words))
        assert tiny.running() == []

    def test_another_model_name_replaces_what_is_served(self, tiny, port):
        tiny.succeed(*make(MODEL, "train"))
        tiny.succeed(*make(MODEL, "train", "MODEL_NAME=second"))
        for name in ("income_rf", "second"):
            tiny.succeed(*make(MODEL, "predict", f"PORT={port}", f"MODEL_NAME={name}"))
            assert f'"model": "{name}"' in tiny.succeed(*make(MODEL, "test-endpoint", f"PORT={port}"))

    def test_variables_of_the_environment_change_no_project_into_a_model(self, tiny):
        assert "train-all" in tiny.succeed(*make(PROJECT, "help"), MODEL_NAME="x")
        assert "test-endpoint" in tiny.succeed(*make(MODEL, "help"), MODEL_NAME="x")

    def test_a_model_that_is_not_trained_is_not_served(self, tiny, port):
        words = ("MODEL_NAME=never_trained", f"PORT={port}")
        said = tiny.fail(*make(MODEL, "predict", *words), code=FAILED)
        assert "never_trained.txt" in said
        assert "is the model trained?" in said
        assert tiny.running() == []

    def test_a_taken_port_is_named(self, tiny):
        tiny.succeed(*make(MODEL, "train"))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = tiny.fail(*make(MODEL, "predict", f"PORT={port}"), code=FAILED)
        assert f"port {port} on 127.0.0.1 is taken" in said
        assert tiny.running() == []

    def test_nobody_to_test_or_stop_or_read_is_a_failure(self, tiny, port):
        assert "no answer from" in tiny.fail(*make(MODEL, "test-endpoint", f"PORT={port}"), code=FAILED)
        for target in ("stop", "logs"):
            said = tiny.fail(*make(MODEL, target, "CONTAINER_NAME=never-there"), code=FAILED)
            assert "there is no container 'never-there'" in said

    def test_a_wrong_port_is_a_failure(self, tiny):
        assert "PORT" in tiny.fail(*make(MODEL, "predict", "PORT=no"), code=FAILED).upper()

    def test_a_data_set_that_is_not_there_is_a_failure(self, tiny):
        said = tiny.fail(*make(MODEL, "train", "DATASET_NAME=other.csv"), code=FAILED)
        assert "data/other.csv: no such data set" in said

    def test_an_unknown_engine_is_a_failure(self, tiny):
        assert "rocket" in tiny.fail(*make(MODEL, "build-train", "ENGINE=rocket"), code=FAILED)


class TestProject:
    def test_data_train_generate_serve_test_stop(self, tiny, port):
        for folder in ("data", "all"):
            shutil.rmtree(tiny.workspace.root / PROJECT / folder, ignore_errors=True)
        tiny.succeed(*make(PROJECT, "data"))
        assert (tiny.workspace.root / PROJECT / "data" / "numbers.txt").exists()
        tiny.succeed(*make(PROJECT, "train-all"))
        assert {"income_rf", "income_gb"} <= models_of(tiny, PROJECT)
        assert "income/all: wrote" in tiny.succeed(*make(PROJECT, "generate"))
        assert "income/all is up to date" in tiny.succeed(*make(PROJECT, "check-generated"))
        tiny.succeed(*make(PROJECT, "build-all"))
        tiny.succeed(*make(PROJECT, "predict-all", f"PORT={port}"))
        answers = tiny.succeed(*make(PROJECT, "test-all", f"PORT={port}"))
        assert '"model": "income_rf"' in answers and '"model": "income_gb"' in answers
        tiny.succeed(*make(PROJECT, "stop"))
        assert tiny.running() == []

    def test_a_folder_all_that_is_not_there_yet_is_a_failure(self, tiny, port):
        shutil.rmtree(tiny.workspace.root / OTHER / "all", ignore_errors=True)
        for target in ("build-all", "predict-all", "test-all"):
            tiny.fail(*make(OTHER, target, f"PORT={port}"), code=FAILED)


class TestAll:
    def test_train_generate_serve_test_stop(self, tiny, port):
        tiny.succeed(*make(ALL, "train-all"))
        tiny.succeed(*make(ALL, "generate"))
        tiny.succeed(*make(ALL, "check-generated"))
        tiny.succeed(*make(ALL, "build-all"))
        assert "income-all-predict:latest" in images_of(tiny)
        tiny.succeed(*make(ALL, "predict-all", f"PORT={port}"))
        answers = tiny.succeed(*make(ALL, "test-all", f"PORT={port}"))
        assert "/income-rf" in answers and "/income-gb" in answers
        tiny.succeed(*make(ALL, "stop"))
        assert "stopped" in tiny.succeed(*make(ALL, "logs"))
        assert tiny.running() == []

    def test_model_dirs_on_the_command_line_take_effect(self, tiny):
        assert "income_gb" not in tiny.succeed(*make(ALL, "train-all", "MODEL_DIRS=rf"))
        for target in ("train-all", "generate", "check-generated"):  # none is not all
            tiny.fail(*make(ALL, target, "MODEL_DIRS="), code=FAILED)
        environment = tiny.workspace.root / ALL / ".s2i" / "environment"
        for models, is_there in (("rf", False), ("gb rf", True)):
            tiny.succeed(*make(ALL, "generate", f"MODEL_DIRS={models}"))
            assert ("income-gb:" in environment.read_text()) is is_there

    def test_a_stale_folder_is_a_failure_with_the_diff(self, tiny):
        path = tiny.workspace.root / ALL / "predict.py"
        text = path.read_text()
        path.write_text(text + "# edited\n")
        try:
            assert "-# edited" in tiny.fail(*make(ALL, "check-generated"), code=FAILED)
            assert "-# edited" in tiny.fail(*make(PROJECT, "check-generated"), code=FAILED)
            assert "-# edited" in tiny.fail("make", "check-generated", code=FAILED)
        finally:
            path.write_text(text)

    def test_one_untrained_model_keeps_the_daemon_from_being_served(self, tiny, port):
        models = tiny.workspace.root / PROJECT / "models"
        tiny.succeed(*make(ALL, "train-all"))
        (models / "income_gb.txt").rename(models / "away")
        try:
            said = tiny.fail(*make(ALL, "predict-all", f"PORT={port}"), code=FAILED)
        finally:
            (models / "away").rename(models / "income_gb.txt")
        assert "/income-gb" in said and "income_gb.txt" in said
        assert tiny.running() == []


class TestWorkspace:
    def test_everything_at_once(self, tiny, port):
        tiny.succeed("make", "data")
        tiny.succeed("make", "train-all")
        assert models_of(tiny, OTHER) == {"tumor_svm"}
        tiny.succeed("make", "generate")
        tiny.succeed("make", "check-generated")
        tiny.succeed("make", "build-all")
        tiny.succeed("make", "predict-all", f"PORT={port}")
        answers = tiny.succeed("make", "test-all", f"PORT={port}")
        for name in ("income_rf", "income_gb", "tumor_svm"):
            assert f'"model": "{name}"' in answers
        tiny.succeed("make", "stop")
        assert tiny.running() == []
        assert tiny.succeed("make", "logs")

    def test_doctor_finds_nothing_missing_once_all_is_made(self, tiny):
        tiny.succeed("make", "train-all")
        tiny.succeed("make", "generate")
        assert "MISSING" not in tiny.succeed("make", "doctor", UV_NO_INDEX="1")


def declared_targets(*makefiles: Path) -> set[str]:
    """The targets that a Makefile declares .PHONY."""
    text = "".join(path.read_text() for path in makefiles)
    words = [word for match in TARGET.finditer(text) for word in match[1].replace("\\", " ").split()]
    return {word for word in words if not word.startswith(".")}


def listed_targets(tiny: Tiny, folder: str) -> set[str]:
    """The targets that `make help` lists: the lines that begin with two spaces."""
    lines = tiny.succeed(*make(folder, "help")).splitlines()
    return {line.split()[0] for line in lines if line.startswith("  ")}


def test_help_lists_every_target_of_every_level(tiny):
    declared = declared_targets(tiny.workspace.projects_root / "recipes.mk")
    levels = [listed_targets(tiny, folder) for folder in (MODEL, PROJECT, ALL)]
    assert set().union(*levels) | {"help"} == declared
    for folder, listed in zip((MODEL, PROJECT, ALL), levels, strict=True):
        for target in declared - {"help"}:
            done = tiny.run(*make(folder, "--dry-run", target))
            assert (done.returncode == 0) == (target in listed), f"{folder}: {target}"


def test_help_lists_a_target_that_a_model_directory_adds(tiny):
    makefile = tiny.workspace.root / MODEL / "Makefile"
    makefile.write_text(makefile.read_text() + "\nretrain:  ## model: go on training\n\t@true\n")
    assert "  retrain          go on training\n" in tiny.succeed(*make(MODEL, "help"))


def test_help_of_the_workspace_lists_every_target(tiny):
    assert listed_targets(tiny, ".") == declared_targets(tiny.workspace.root / "Makefile")


def test_help_of_the_repository_lists_every_target(tiny):
    repository = Path(__file__).parents[2]
    assert listed_targets(tiny, str(repository)) == declared_targets(repository / "Makefile")


def test_the_repository_can_do_at_least_what_a_new_workspace_can(tiny):
    repository = Path(__file__).parents[2]
    assert declared_targets(tiny.workspace.root / "Makefile") <= declared_targets(repository / "Makefile")
