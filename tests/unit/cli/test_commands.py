import json
import socket

import pytest

from modelyard.errors import BuildError
from tests.conftest import write_files
from tests.unit.commands.conftest import FILES, MODEL
from tests.unit.commands.fakes import PackingEngine, make_container, make_image


@pytest.fixture
def no_engine(monkeypatch) -> None:
    """Opening an engine is an error."""

    def refuse(*_: object) -> None:
        raise AssertionError("an engine was opened")

    monkeypatch.setattr("modelyard.engines.open_engine", refuse)


class TestDryRun:
    def test_build(self, modelyard, workspace, no_engine):
        done = modelyard("build", ".", "predict", "--tag", "mine", "--dry-run")
        assert done.code == 0
        assert "  income/rf/predict.py\n" in done.out
        assert done.out.endswith("tag the image mine\n")

    def test_train(self, modelyard, workspace, no_engine):
        done = modelyard("train", "--dry-run", "--dataset", "other.csv")
        assert done.code == 0
        assert "tag the image income-rf-train" in done.out
        assert '"$ref": "data/other.csv"' in done.out
        assert not (workspace.projects_root / "income/models").exists()

    def test_serve(self, modelyard, workspace, no_engine):
        done = modelyard("serve", "rf", "--dry-run", "--port", "5999", "-e", "WORKERS=2", "--pull", "s3://bucket/best")
        assert done.code == 0, done.err
        assert done.out.startswith("get s3://bucket/best\n")
        assert "tag the image income-rf-predict\nstart income-rf on http://127.0.0.1:5999" in done.out
        assert "  MODEL_NAME=best\n" in done.out
        assert "  WORKERS=2\n" in done.out
        assert done.out.endswith(f"  models {workspace.projects_root / 'income/models'} (read only)\n")
        assert not (workspace.projects_root / "income/models").exists()

    def test_serve_says_what_is_wrong(self, modelyard, workspace, no_engine):
        done = modelyard("serve", "rf", "--dry-run", "-e", "WORKERS=many")
        assert (done.code, "option -e: WORKERS is 'many'" in done.err) == (3, True)

    def test_generate(self, modelyard, workspace, no_engine):
        done = modelyard("generate", "..", "--dry-run", "--offline")
        assert done.code == 0
        assert "+ROUTES=income-rf:income.rf.predict:predict" in done.out
        assert not (workspace.projects_root / "income/all").exists()


class TestFolders:
    @pytest.mark.parametrize("folder", [".", "projects", "projects/income", MODEL, f"{MODEL}/test"])
    def test_every_folder_of_the_workspace_will_do(self, modelyard, workspace, no_engine, monkeypatch, folder):
        monkeypatch.chdir(workspace.root / folder)
        assert modelyard("build", workspace.root / MODEL, "--dry-run").code == 0

    @pytest.mark.parametrize(
        "command",
        [
            ("build", "{}", "--dry-run"),
            ("train", "{}", "--dry-run"),
            ("serve", "{}", "--dry-run"),
            ("generate", "{}", "--dry-run", "--offline"),
            ("stage", "{}", "predict", "context"),
        ],
    )
    @pytest.mark.parametrize("name", ["rf", "income/rf", "projects/income/rf"])
    def test_a_name_is_enough(self, modelyard, workspace, no_engine, monkeypatch, command, name):
        monkeypatch.chdir(workspace.root / "utils")
        done = modelyard(*(word.format(name) for word in command))
        assert done.code == 0, done.err

    @pytest.mark.parametrize("command", ["build", "train", "serve", "generate", "data", "lock", "test"])
    def test_a_near_miss_is_told(self, modelyard, workspace, engine, command):
        done = modelyard(command, "income/fr")
        assert (done.code, "did you mean income/rf?" in done.err) == (3, True), done.err

    def test_a_folder_is_adopted_by_its_name_too(self, modelyard, workspace, no_engine, monkeypatch):
        monkeypatch.chdir(workspace.root / "utils")
        done = modelyard("adopt", "income", "--dry-run")
        assert (done.code, done.out.startswith("projects/income/rf: module paths below income.rf")) == (0, True), (
            done.err
        )
        done = modelyard("adopt", "incom/rf")
        assert (done.code, "did you mean income/rf?" in done.err) == (3, True), done.err

    def test_a_near_miss_of_the_demo_is_told(self, modelyard, workspace, engine):
        done = modelyard("demo", "incme")
        assert (done.code, "did you mean income? (projects here: income)" in done.err) == (3, True), done.err

    def test_c_works_from_outside_and_paths_start_there(self, modelyard, workspace, no_engine, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        assert modelyard("-C", "workspace/projects", "build", "income/rf", "--dry-run").code == 0
        done = modelyard("build", "workspace/projects/income/rf", "--dry-run")
        assert (done.code, "no workspace here or above" in done.err) == (3, True)

    def test_a_context_is_found_from_c(self, modelyard, workspace, engine, monkeypatch, tmp_path):
        assert modelyard("stage", ".", "predict", workspace.root / "context").code == 0
        monkeypatch.chdir(tmp_path)
        done = modelyard("-C", "workspace", "build", "--context", "context", "--tag", "mine", "--json")
        assert json.loads(done.out)["tags"] == ["mine"]

    @pytest.mark.parametrize("context", ["nowhere", "."])
    def test_a_folder_that_is_no_context_is_an_error(self, modelyard, workspace, engine, context):
        done = modelyard("build", "--context", context, "--tag", "mine")
        assert (done.code, engine.calls) == (3, [])


class TestJson:
    """Standard output is one JSON document; what is said to people is on standard error."""

    def test_build(self, modelyard, workspace, engine):
        done = modelyard("build", "--json")
        image = json.loads(done.out)
        assert (image["tags"], image["reused"]) == (["income-rf-predict"], False)
        assert "built income-rf-predict" in done.err

    def test_train(self, modelyard, workspace, engine):
        [trained] = json.loads(modelyard("train", "--json").out)
        assert (trained["model"], trained["reused"]) == ("income/rf", False)
        assert trained["manifest"]["metrics"] == trained["result"] == {"accuracy": 0.75}

    def test_images_and_containers(self, modelyard, engine):
        engine.built["sha"] = make_image("sha", "mine:latest")
        engine.serving["income-rf"] = make_container("income-rf")
        [image] = json.loads(modelyard("images", "--json").out)
        assert (image["id"], image["size"], image["created"]) == ("sha", 1_234_567, "2026-01-01 00:00:00+00:00")
        [container] = json.loads(modelyard("ps", "--json").out)
        assert (container["name"], container["port"], container["status"]) == ("income-rf", 5111, "running")
        assert json.loads(modelyard("inspect", "mine:latest").out)["id"] == "sha"
        assert json.loads(modelyard("prune", "--json").out)["freed"] == 0

    def test_doctor(self, modelyard, workspace):
        done = modelyard("doctor", "--offline", "--json")
        findings = json.loads(done.out)
        assert {"state", "what", "fix"} == set(findings[0])
        assert done.code == int(any(finding["state"] == "missing" for finding in findings))

    def test_nothing_is_an_empty_list(self, modelyard):
        assert json.loads(modelyard("images", "--json").out) == []

    def test_the_size_of_an_image(self, modelyard, engine):
        engine.built["sha"] = make_image("sha", "mine:latest")
        bill = json.loads(modelyard("inspect", "mine:latest", "--size", "--json").out)
        assert bill["layers"] == [{"title": "requirements: numpy", "size": bill["size"]}]
        lines = modelyard("inspect", "mine:latest", "--size").out.splitlines()
        assert lines[0].strip() == "mine:latest: 1.2 MB"
        assert ["numpy", "2.0", "default", "1.2", "MB"] in [line.split() for line in lines]

    @pytest.mark.parametrize(
        ("size", "code"), [("1MB", 5), ("1.3 MB", 0), ("1300000", 0), ("1k", 5), ("1GiB", 0), ("large", 2), ("-1", 2)]
    )
    def test_an_image_may_be_so_large(self, modelyard, workspace, engine, size, code):
        assert modelyard("build", ".", "--max-size", size).code == code
        assert json.loads(modelyard("ps", "--json").out) == []

    @pytest.mark.parametrize("command", ["build", "train", "serve", "test", "demo income --port PORT"])
    @pytest.mark.parametrize(("limit", "code"), [("--max-size=1MB", 5), ("--locked", 4)])
    def test_every_command_that_builds_holds_its_limits(self, modelyard, workspace, engine, command, limit, code):
        requirements = {f"{MODEL}/requirements_{kind}.txt": "six\n" for kind in ("train", "predict")}
        write_files(workspace.root, {"projects/income/data/adult.csv": "a,b\n1,2\n", **requirements})
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        assert modelyard(*command.replace("PORT", str(port)).split(), limit).code == code
        assert "run" not in engine.calls and not engine.serving


class TestTables:
    def test_images_and_containers(self, modelyard, engine):
        engine.built["sha"] = make_image("sha", "mine:latest")
        engine.serving["income-rf"] = make_container("income-rf")
        assert modelyard("images").out.splitlines()[1].split()[:4] == ["mine:latest", "sha", "predict", "income/rf"]
        assert "http://127.0.0.1:5111" in modelyard("ps").out
        done = modelyard("stop", "income-rf")
        assert done.out == "income-rf\n" and "had ended before" not in done.err
        done = modelyard("stop", "income-rf")
        assert done.out == "income-rf\n" and "income-rf had ended before on the engine fake; one of" in done.err
        assert modelyard("ps").out.count("\n") == 1
        done = modelyard("stop", "nobody", "income-rf", "nothing")
        assert (done.code, done.out) == (7, "income-rf\n")
        assert "there is no container 'nobody'\nthere is no container 'nothing'\n" in done.err
        assert "exited (0)" in modelyard("ps", "--all").out

    def test_a_failure_is_told_once(self, modelyard, workspace, engine, monkeypatch):
        def fail(_context, *, tag, on_output):
            on_output("no such package")
            raise BuildError("assemble failed:\n  no such package")

        monkeypatch.setattr(engine, "build", fail)
        done = modelyard("build")
        assert (done.code, done.err.count("no such package")) == (5, 1)
        assert "error: assemble failed (see above)\n" in done.err

    def test_train(self, modelyard, workspace, engine):
        assert "trained  accuracy 0.75" in modelyard("train").out
        assert "reused  accuracy 0.75" in modelyard("train", "--reuse").out

    def test_doctor_says_what_to_do(self, modelyard, workspace):
        done = modelyard("doctor", "--offline")
        assert "income/rf: model binary income_rf is not trained yet" in done.out
        assert "-> make -C projects/income/rf train" in done.out

    def test_doctor_outside_a_workspace_looks_at_the_machine(self, modelyard, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        done = modelyard("doctor", "--offline", "--json")
        assert json.loads(done.out)
        assert "no workspace here" in done.err


class TestBadValues:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["train", "--payload", "{"], "--payload '{' is no JSON"),
            (["train", "--payload", "[1]"], "is no JSON object"),
            (["run", "mine", "-e", "KEY"], "has no '='"),
            (["run", "mine", "-e", "=3"], "names no variable"),
            (["run", "mine", "-v", "models"], "is not FOLDER:TARGET[:ro]"),
            (["run", "mine", "-v", "a:models:rx"], "is not FOLDER:TARGET[:ro]"),
            (["train", "--push", "ftp://host/model"], "no store for ftp://"),
            (["run", "mine", "--name", "a b"], "'a b' is no name of a container"),
            (["build", "--context", "nowhere", "--tag", "mine"], "make one: modelyard stage"),
            (["build", "../nothing"], "there is no such folder"),
            (["build", "test"], "it has no .s2i/environment"),
            (["test", "/"], "not below"),
        ],
    )
    def test_they_are_named(self, modelyard, workspace, engine, words, said):
        done = modelyard(*words)
        assert (done.code, said in done.err) == (3, True), done.err
        assert engine.calls == []

    @pytest.mark.parametrize("words", ["serve --timeout -1", "stop web --grace -1", "test --tolerance -1"])
    def test_no_time_and_no_difference_is_less_than_nothing(self, modelyard, workspace, engine, words):
        done = modelyard(*words.split())
        assert (done.code, "-1.0 is not in the range x>=0" in done.err, engine.calls) == (2, True, [])

    def test_one_name_for_many_models_is_refused(self, modelyard, workspace, engine):
        other = {
            f"projects/income/gb/{name.rpartition('rf/')[2]}": text for name, text in FILES.items() if MODEL in name
        }
        write_files(workspace.root, other)
        done = modelyard("train", "..", "--tag", "x")
        assert (done.code, "2 are to be trained" in done.err) == (2, True)

    def test_an_unknown_engine_lists_those_there_are(self, modelyard, workspace):
        done = modelyard("images", "--engine", "rocket")
        assert (done.code, "local" in done.err) == (7, True)

    def test_a_test_of_no_model_at_all_is_no_success(self, modelyard, workspace):
        write_files(workspace.projects_root, {"income/all/Makefile": "MODEL_DIRS =\n"})
        done = modelyard("test", "../all")
        assert (done.code, "no model directory to test" in done.err) == (3, True)

    @pytest.mark.parametrize("address", [["--port", "1"], ["--host", "127.0.0.2"]])
    def test_an_endpoint_that_is_not_there_is_8(self, modelyard, workspace, no_engine, address):
        assert modelyard("test", *address).code == 8

    def test_a_stale_all_is_4_with_a_diff(self, modelyard, workspace):
        assert modelyard("generate", "..", "--offline").code == 0
        assert modelyard("generate", "..", "--offline", "--check").code == 0
        write_files(workspace.projects_root, {"income/all/predict.py": "old = True\n"})
        done = modelyard("generate", "..", "--offline", "--check")
        assert done.code == 4
        assert "-old = True" in done.err
        assert (workspace.projects_root / "income/all/predict.py").read_text() == "old = True\n"


def test_run_passes_the_exit_code_on(modelyard, engine, tmp_path):
    engine.train = lambda *_: 42
    assert modelyard("run", "mine", "-e", "A=b=c", "-v", f"{tmp_path}:models:ro").code == 42
    assert engine.spec.environment == {"A": "b=c"}
    [mount] = engine.spec.mounts
    assert (mount.source, mount.target, mount.read_only) == (tmp_path, "models", True)


def test_a_daemon_in_the_foreground_that_dies_is_no_success(modelyard, workspace, engine, monkeypatch):
    monkeypatch.setattr("modelyard.commands.serving._wait_until_ready", lambda *_: None)
    engine.exits_with, engine.log = 1, ["MemoryError"]
    done = modelyard("serve", "--foreground")
    assert done.code == 6
    assert "MemoryError" in done.out
    assert "income-rf exited with 1" in done.err


@pytest.mark.parametrize(
    "arguments",
    [["run", "income"], ["ps"], ["logs", "web"], ["stop", "web"], ["train"], ["serve"], ["test"], ["demo", "income"]],
)
def test_an_engine_that_runs_nothing_says_so_before_anything_is_built(
    modelyard, workspace, engine, monkeypatch, arguments
):
    monkeypatch.setattr("modelyard.engines.open_engine", lambda *_: PackingEngine(engine))
    done = modelyard(*arguments)
    assert (done.code, engine.calls) == (7, [])
    assert "error: the engine packing runs no containers\nhint:  choose one that runs them: --engine local" in done.err
