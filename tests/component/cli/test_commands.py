import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_files


class TestJson:
    def test_train_with_data_to_get_first(self, modelyard, workspace, engine):
        (workspace.projects_root / "income/data/adult.csv").unlink()
        script = "import sys; open(sys.argv[1] + '/adult.csv', 'w').close(); print('got it')\n"
        write_files(workspace.projects_root, {"income/make_data.py": script})
        done = modelyard("train", "--json")
        assert json.loads(done.out)
        assert "got it" in done.err


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_there_is_a_script_for_every_shell(self, modelyard, shell):
        done = modelyard("completion", shell)
        assert done.code == 0
        assert "_MODELYARD_COMPLETE" in done.out

    def test_bash_takes_the_script_and_gets_commands_of_it(self, modelyard, tmp_path):
        (tmp_path / "script").write_text(modelyard("completion", "bash").out)
        tools = Path(sys.executable).parent
        lines = f". {tmp_path}/script\nCOMP_WORDS=(modelyard tra)\nCOMP_CWORD=1\n_modelyard_completion modelyard\n"
        done = subprocess.run(
            ["bash", "-c", lines + 'echo "${COMPREPLY[@]}"'],
            env={"PATH": f"{tools}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        assert done.stdout.split() == ["train"], done.stderr
