"""Merged setup.sh: each script runs as it would alone, in order, and none can reach into another."""

import subprocess
from pathlib import Path

from modelyard.codegen.files import render_setup
from modelyard.codegen.setup_script import merge_scripts


def run(folder: Path, *scripts: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    path = folder / "setup.sh"
    path.write_text(render_setup(merge_scripts(scripts)))
    return subprocess.run(["bash", path], cwd=folder, capture_output=True, text=True)


def test_scripts_run_in_order_and_say_whose_they_are(tmp_path):
    done = run(tmp_path, ("b", "echo second name, first script\n"), ("a", "echo second script\n"))
    assert done.stdout.splitlines() == [
        "---> setup.sh of b",
        "second name, first script",
        "---> setup.sh of a",
        "second script",
    ]


def test_equal_scripts_run_once_whatever_their_last_newline(tmp_path):
    done = run(tmp_path, ("a", "echo once"), ("b", "echo once\n"))
    assert done.stdout == "---> setup.sh of a, b\nonce\n"


def test_a_missing_final_newline_glues_nothing_together(tmp_path):
    done = run(tmp_path, ("a", "echo one # comment"), ("b", "echo two"))
    assert done.stdout.splitlines()[1::2] == ["one", "two"]


def test_settings_variables_and_exit_of_one_script_do_not_reach_the_next(tmp_path):
    done = run(tmp_path, ("a", "cd /; X=1; exit 0\n"), ("b", 'echo "$PWD ${X-unset}"\n'))
    assert done.stdout.splitlines()[-1] == f"{tmp_path} unset"


def test_a_script_that_fails_ends_it_with_its_exit_code(tmp_path):
    done = run(
        tmp_path, ("a", "false\necho a failed command alone does not end a script\nexit 7\n"), ("b", "echo never\n")
    )
    assert done.returncode == 7
    assert "never" not in done.stdout and "does not end a script" in done.stdout


def test_a_script_that_reads_input_does_not_swallow_the_others(tmp_path):
    assert run(tmp_path, ("a", "cat\n"), ("b", "echo still here\n")).stdout.endswith("still here\n")


def test_hostile_scripts_stay_in_their_own_section(tmp_path):
    hostile = "echo )\nEND\nEND_\nX=broken\nexport X\n$(cat <<'Y'\n'\n"
    done = run(
        tmp_path, ("a", "true || {\n(\n" + "END\n" * 2 + ")\n}\n"), ("b", 'echo "${X-unset}"\nEND() { :; }\nEND\n')
    )
    assert done.stdout.splitlines()[-1] == "unset"
    assert run(tmp_path, ("a", hostile), ("b", "echo never\n")).returncode != 0
    assert "never" not in run(tmp_path, ("a", hostile), ("b", "echo never\n")).stdout


def test_names_are_quoted(tmp_path):
    done = run(tmp_path, ("a'; touch hacked; '$(touch hacked)", "true\n"))
    assert done.returncode == 0 and not (tmp_path / "hacked").exists()
