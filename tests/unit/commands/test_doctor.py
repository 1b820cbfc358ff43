import shutil
import sys

import pytest

from modelyard.commands.doctor import Finding, examine_machine, examine_setup, examine_workspace
from modelyard.workspace import find_workspace
from tests.conftest import write_files


def of(findings, what: str) -> Finding:
    """The one finding that mentions something."""
    [found] = [finding for finding in findings if what in finding.what]
    return found


@pytest.fixture
def commands(tmp_path):
    """A PATH on which bash and make are."""
    write_files(tmp_path / "bin", {"bash": "", "make": ""})
    for path in (tmp_path / "bin").iterdir():
        path.chmod(0o755)
    return str(tmp_path / "bin")


class TestMachine:
    def test_a_machine_that_has_everything(self, tmp_path, commands):
        findings = list(examine_machine(tmp_path / "home", {"PATH": commands}))
        assert {finding.state for finding in findings} <= {"ok", "warning"}
        assert of(findings, f"Python {sys.version.split()[0]}").state == "ok"
        assert of(findings, f"make: {commands}/make").state == "ok"

    @pytest.mark.parametrize("command", ["bash", "make"])
    def test_a_missing_command_is_named_with_what_it_is_for(self, tmp_path, commands, command):
        (tmp_path / "bin" / command).unlink()
        found = of(examine_machine(tmp_path, {"PATH": commands}), f"{command}: not on PATH")
        assert found.state == "missing"
        assert f"install {command}" in found.fix

    def test_a_uv_that_is_not_there_is_missing(self, tmp_path, commands):
        found = of(examine_machine(tmp_path, {"PATH": commands, "UV": "/nowhere/uv"}), "uv: no program /nowhere/uv")
        assert (found.state, found.fix) == ("missing", "unset UV, or name a uv that is there")
        assert of(examine_machine(tmp_path, {"PATH": commands}), "uv: ").state == "ok"

    def test_an_old_python_is_missing(self, tmp_path, commands, monkeypatch):
        monkeypatch.setattr(sys, "version_info", (3, 10, 0))
        assert of(examine_machine(tmp_path, {"PATH": commands}), "Python").state == "missing"

    def test_a_disk_that_is_nearly_full_is_a_warning(self, tmp_path, commands, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1_000_000_000))
        found = of(examine_machine(tmp_path / "not" / "yet", {"PATH": commands}), "1.0 GB free")
        assert (found.state, "modelyard prune" in found.fix) == ("warning", True)

    def test_a_home_that_nobody_may_write_to_is_missing(self, tmp_path, commands, monkeypatch):
        monkeypatch.setattr("os.access", lambda *_: False)
        found = of(examine_machine(tmp_path / "home", {"PATH": commands}), "not writable")
        assert "MODELYARD_HOME" in found.fix

    def test_an_engine_that_the_environment_names_is_found(self, tmp_path, commands):
        environ = {"PATH": commands, "DOCKER_HOST": "tcp://10.0.0.1:2375"}
        assert of(examine_machine(tmp_path, environ), "engine: docker (DOCKER_HOST)").state == "ok"

    def test_an_engine_that_lacks_its_package_is_not_to_be_started(self, tmp_path, commands, monkeypatch):
        monkeypatch.setattr("modelyard.engines.find_spec", lambda _: None)
        environ = {"PATH": commands, "DOCKER_HOST": "tcp://10.0.0.1:2375"}
        found = of(examine_machine(tmp_path, environ), "pip install 'modelyard[docker]'")
        assert found.state == "warning"
        assert "or install what is missing" in found.fix


class TestWorkspace:
    def test_an_untrained_model_is_a_note_with_the_command_that_mends_it(self, workspace):
        findings = list(examine_workspace(workspace))
        found = of(findings, "model binary income_rf is not trained yet")
        assert (found.state, found.fix) == ("warning", "make -C projects/income/rf train")
        assert of(findings, "income/rf: sources").state == "ok"

    def test_what_is_wrong_in_a_model_directory_is_missing(self, workspace):
        write_files(workspace.root, {"projects/income/rf/predict.py": "def other(msg): ...\n"})
        found = next(finding for finding in examine_workspace(workspace) if finding.state == "missing")
        assert "predict.py" in found.what
        assert found.fix

    def test_a_broken_environment_file_hides_no_other_finding(self, workspace):
        write_files(workspace.projects_root, {"income/aa/.s2i/environment": "ROUTES\n"})
        findings = list(examine_workspace(find_workspace(workspace.root)))
        assert any("aa/.s2i/environment" in finding.what and finding.state == "missing" for finding in findings)
        assert of(findings, "income/rf: sources").state == "ok"

    @pytest.mark.parametrize(
        ("manifest", "state", "said"),
        [
            ('{"file": "x", "sha256": "0"}', "ok", "model binary income_rf"),
            ('{"file": "x", "sha256": "0", "synthetic": true}', "warning", "synthetic"),
            ("{", "missing", "income_rf.json: no JSON"),
        ],
    )
    def test_a_trained_model_is_looked_at(self, workspace, manifest, state, said):
        write_files(workspace.root, {"projects/income/models/income_rf.json": manifest})
        assert of(examine_workspace(workspace), said).state == state

    def test_a_project_that_can_make_its_data_and_has_none_is_a_note(self, workspace):
        write_files(workspace.root, {"projects/income/make_data.py": ""})
        (workspace.root / "projects/income/data/adult.csv").unlink()
        found = of(examine_workspace(workspace), "income: no data yet")
        assert found.fix == "make -C projects/income data"

    def test_a_stale_all_is_missing(self, workspace):
        write_files(workspace.root, {"projects/income/all/predict.py": "old = True\n"})
        findings = list(examine_workspace(workspace))
        assert any(finding.state == "missing" and "all" in finding.what for finding in findings)


SETUP = {"projects/income/rf/.s2i/environment": "TRAIN_MODULE=train", "projects/income/rf/setup.sh": "true\n"}


class TestSetup:
    def test_one_that_is_left_out_is_named_with_the_ways_on(self, make_workspace):
        (found,) = examine_setup(make_workspace(SETUP), {"MODELYARD_ENGINE": "local"})
        assert (found.state, found.what) == ("warning", "income/rf: setup.sh is not run by the embedded engine")
        assert "ENGINE=docker" in found.fix and "SETUP=1" in found.fix

    @pytest.mark.parametrize("environ", [{"MODELYARD_ENGINE": "docker"}, {"MODELYARD_SKIP_SETUP": "1"}])
    def test_an_engine_runs_it_and_a_user_may_know(self, make_workspace, environ):
        assert list(examine_setup(make_workspace(SETUP), {"MODELYARD_ENGINE": "local", **environ})) == []
