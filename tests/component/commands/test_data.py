import os

import pytest

from modelyard.commands.data import has_data_script, prepare_data
from modelyard.errors import RunError, WorkspaceError
from tests.conftest import write_files

# The shared common_utils is what it imports, though the project beside it has one of its own.
SCRIPT = """\
import sys
from pathlib import Path
import common_utils.shared
import income.common_utils.own
Path(sys.argv[1], "x.csv").write_text("1")
print("3 rows")
print("SYNTHETIC", file=sys.stderr)
"""


def test_the_script_fills_the_folder_and_what_it_says_is_passed_on(workspace, reporter, capfd):
    files = {
        "projects/income/make_data.py": SCRIPT,
        "common_utils/shared.py": "",
        "projects/income/common_utils/__init__.py": "",
        "projects/income/common_utils/own.py": "",
    }
    write_files(workspace.root, files)
    assert has_data_script(workspace, "income")
    folder = prepare_data(workspace, "income", reporter)
    assert (folder / "x.csv").read_text() == "1"
    assert reporter.lines[0] == "getting the data of income"
    assert {"3 rows", "SYNTHETIC"} < set(reporter.lines)
    assert capfd.readouterr().out == ""


def test_a_script_that_fails_is_an_error(workspace, reporter):
    write_files(workspace.root, {"projects/income/make_data.py": "raise SystemExit('no network')\n"})
    with pytest.raises(RunError, match=r"make_data\.py exited with 1"):
        prepare_data(workspace, "income", reporter)
    assert "no network" in reporter.lines


def test_a_project_without_a_script_says_where_data_go(workspace, reporter):
    assert not has_data_script(workspace, "income")
    with pytest.raises(WorkspaceError, match=r"no make_data\.py") as error:
        prepare_data(workspace, "income", reporter)
    assert os.path.join("income", "data") in error.value.hint  # noqa: PTH118
