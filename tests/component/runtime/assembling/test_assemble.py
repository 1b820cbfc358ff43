"""The builder's assemble script, run as an engine runs it, with a uv that only writes down what it was told."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from uv import find_uv_bin

from modelyard.context.build_context import read_arguments
from modelyard.runtime.application import Application, Model, format_application
from modelyard.runtime.assembling.entries import find_absent
from modelyard.runtime.assembling.installation import explain_failure
from modelyard.runtime.assembling.pythons import TARGET, find_python
from modelyard.runtime.assembling.variants import choose_torch_backend, find_cpu_wheels, format_overrides
from tests.component.runtime.pythons import find_installed_python

REPOSITORY = Path(__file__).parents[4]
FAKE_UV = """#!/bin/bash
echo "uv $*" >> "$UV_LOG"
if [[ "$1" == python ]]; then
  [[ -n "${UV_FINDS:-}" ]] && echo "$UV_FINDS"
elif [[ "$1" == venv ]]; then
  mkdir -p "${@: -1}/bin"
  ln -s "$REAL_PYTHON" "${@: -1}/bin/python"
elif [[ "${@: -1}" == --dry-run ]]; then
  echo "${UV_PLANS:-}" >&2
elif [[ -n "${UV_SAYS:-}" ]]; then
  echo "$UV_SAYS" >&2
  exit 1
else
  while [[ $# -gt 0 ]]; do
    case "$1" in --override | --constraint) cat "$2" >> "$UV_LOG" ;; esac
    shift
  done
fi
"""
Assemble = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def assemble(tmp_path: Path) -> Assemble:
    """Assemble the files given by path and text; returns the finished process."""

    def run(files: Mapping[str, str], **environ: str) -> "subprocess.CompletedProcess[str]":
        for name, text in files.items():
            path = tmp_path / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        uv = tmp_path / "uv"
        uv.write_text(FAKE_UV)
        uv.chmod(0o755)
        variables = {
            "PATH": os.environ["PATH"],
            "APP_ROOT": str(tmp_path / "app"),
            "S2I_SOURCE": str(tmp_path / "src"),
            "MODELYARD_LIB": str(REPOSITORY / "src"),
            "MODELYARD_ENVIRONMENTS": str(tmp_path / "environments"),
            "MODELYARD_PYTHON": sys.executable,
            "REAL_PYTHON": sys.executable,
            "UV": str(uv),
            "UV_LOG": str(tmp_path / "uv.log"),
        }
        script = REPOSITORY / "builders" / "train" / "s2i" / "bin" / "assemble"
        return subprocess.run(["bash", script], env=variables | environ, capture_output=True, text=True)

    return run


SOURCE = {
    ".s2i/environment": "ROUTES=rf:income.predict:rf",
    "income/predict.py": "def rf(msg): return 1",
    "requirements.txt": "six",
    "setup.sh": "echo native > native.txt",
}


def test_stages_run_in_order(assemble, tmp_path):
    ended = assemble(SOURCE)
    assert ended.returncode == 0, ended.stderr
    steps = [line.split(":")[0] for line in ended.stdout.splitlines() if line.startswith("---> ")]
    assert steps == ["---> setup", "---> requirements", "---> source"]
    assert (tmp_path / "app/income/predict.py").is_file()
    assert (tmp_path / "app/native.txt").read_text() == "native\n"


def test_stages_can_be_done_one_by_one(assemble, tmp_path):
    assert assemble(SOURCE, MODELYARD_STAGES="requirements").returncode == 0
    assert (tmp_path / "environments/default/bin/python").exists()
    assert not (tmp_path / "app").exists()
    assert assemble(SOURCE, MODELYARD_STAGES="source").returncode == 0
    assert (tmp_path / "app/income/predict.py").is_file()


def test_unknown_stage_is_an_error(assemble):
    ended = assemble(SOURCE, MODELYARD_STAGES="requirements polish")
    assert ended.returncode == 3
    assert "MODELYARD_STAGES names 'polish'" in ended.stderr


def test_missing_root_is_named(assemble):
    ended = assemble(SOURCE, APP_ROOT="")
    assert ended.returncode != 0
    assert "APP_ROOT" in ended.stderr


def test_an_uv_that_is_not_there_is_an_error_that_names_the_variable(assemble):
    ended = assemble(SOURCE, UV="/nope")
    assert ended.returncode != 0
    assert "uv can't be run: /nope: No such file" in ended.stderr and "the variable UV" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_failing_setup_is_the_end_and_shows_its_exit_code(assemble, tmp_path):
    ended = assemble(SOURCE | {"setup.sh": "echo looking; exit 100"})
    assert ended.returncode != 0
    assert "looking" in ended.stdout
    assert "setup.sh failed with exit code 100" in ended.stderr
    assert not (tmp_path / "environments").exists()


def test_excluded_packages_become_overrides(assemble, tmp_path):
    assert assemble(SOURCE, EXCLUDED_PACKAGES="nvidia-nccl-cu12 triton").returncode == 0
    assert (tmp_path / "uv.log").read_text().endswith(format_overrides(["nvidia-nccl-cu12", "triton"]))
    assert format_overrides(["triton"]) == "triton; sys_platform == 'never'\n"


def test_uv_gets_no_empty_file_to_warn_of(assemble, tmp_path):
    assert assemble(SOURCE, TORCH_BACKEND="cpu").returncode == 0
    said = (tmp_path / "uv.log").read_text()
    assert "pip install" in said and "--override" not in said and "--constraint" not in said


def test_no_requirements_need_no_install(assemble, tmp_path):
    source = {name: text for name, text in SOURCE.items() if name != "requirements.txt"}
    assert assemble(source).returncode == 0
    assert "pip install" not in (tmp_path / "uv.log").read_text()


def test_an_index_that_pips_settings_forbid_is_not_asked(assemble, tmp_path):
    assert assemble(SOURCE).returncode == 0
    assert "--no-index" not in (tmp_path / "uv.log").read_text()
    assert assemble(SOURCE, UV_NO_INDEX="1", MODELYARD_ENVIRONMENTS=str(tmp_path / "e")).returncode == 0
    assert "--no-index" in (tmp_path / "uv.log").read_text()


GROUPS = SOURCE | {
    ".s2i/application.json": format_application(
        Application(
            name="income/all",
            kind="predict",
            models=(
                Model(name="income/rf", path="income", routes=("rf",)),
                Model(name="income/old", path="income/old", routes=("old",), environment="six-1.16"),
            ),
        )
    ),
    ".s2i/environment": "ROUTES=rf:income.predict:rf,old:income.old.predict:old",
    ".s2i/environments/six-1.16/requirements.txt": "six==1.16",
    "income/old/predict.py": "def old(msg): return 1",
}


def test_each_environment_of_the_source_is_made(assemble, tmp_path):
    ended = assemble(GROUPS, MODELYARD_REQUIREMENTS_FILE="projects/income/all/requirements.txt")
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in (tmp_path / "environments").iterdir()) == ["default", "six-1.16"]
    installs = [line for line in (tmp_path / "uv.log").read_text().splitlines() if "pip install" in line]
    assert ["default/bin/python" in installs[0], "six-1.16/requirements.txt" in installs[1]] == [True, True]
    assert "install projects/income/all/environments/six-1.16.txt" in ended.stdout


def test_an_engine_may_make_one_environment_at_a_time(assemble, tmp_path):
    assert assemble(GROUPS, MODELYARD_STAGES="requirements", MODELYARD_GROUPS="six-1.16").returncode == 0
    assert [path.name for path in (tmp_path / "environments").iterdir()] == ["six-1.16"]


def test_imports_are_looked_for_in_the_environment_of_their_model(assemble, tmp_path):
    files = {
        "income/predict.py": "import six_here\ndef rf(msg): ...",
        "income/old/predict.py": "import six_here\ndef old(msg): ...",
    }
    here = {"environments/six-1.16/bin/python": f"#!/bin/bash\nexec {sys.executable} -c 'print()'\n"}
    for name, text in here.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(0o755)
    assert assemble(SOURCE, MODELYARD_STAGES="requirements").returncode == 0
    ended = assemble(GROUPS | files, MODELYARD_STAGES="source")
    assert "income/predict.py:1 imports 'six_here', which no requirement provides\n" in ended.stderr
    assert "old/predict.py" not in ended.stderr


def test_a_missing_import_says_in_which_environment(assemble):
    ended = assemble(GROUPS | {"income/old/predict.py": "import nothing_such\ndef old(msg): ..."})
    assert "imports 'nothing_such', which no requirement provides in the environment 'six-1.16'" in ended.stderr


def test_a_python_of_its_own_is_found_by_uv(assemble, tmp_path):
    source = GROUPS | {".s2i/environments/six-1.16/.python-version": "3.99"}
    ended = assemble(source, UV_FINDS="/usr/bin/python3.99")
    assert ended.returncode == 0, ended.stderr
    log = (tmp_path / "uv.log").read_text()
    assert "uv python find --system --no-project --no-python-downloads 3.99" in log
    assert f"--python /usr/bin/python3.99 {tmp_path}/environments/six-1.16" in log
    assert f"--python {sys.executable} {tmp_path}/environments/default" in log


def test_the_python_at_hand_serves_where_it_is_the_one_asked_for(assemble, tmp_path):
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert assemble(SOURCE | {".python-version": version}).returncode == 0
    assert "python find" not in (tmp_path / "uv.log").read_text()


def test_a_python_that_is_not_there_is_an_error_with_the_way_out(assemble, tmp_path):
    ended = assemble(GROUPS | {".s2i/environments/six-1.16/.python-version": "3.99"})
    assert ended.returncode == 3
    assert "the environment 'six-1.16' asks for Python 3.99, which is not on this machine" in ended.stderr
    assert "the .python-version of the models in the environment" in ended.stderr
    assert "hint: install it (uv python install 3.99), ask for another there" in ended.stderr


def test_conflict_names_the_lines_that_fight(assemble):
    says = "  × No solution found when resolving dependencies:\n  ╰─▶ Because scikit_learn==1.3 depends on numpy<2 ..."
    source = SOURCE | {"requirements.txt": "six\n# arrays\nnumpy>=2\nscikit-learn==1.3"}
    ended = assemble(source, UV_SAYS=says, MODELYARD_REQUIREMENTS_FILE="income/requirements_predict.txt")
    assert ended.returncode == 1
    assert "income/requirements_predict.txt:3: numpy>=2" in ended.stderr
    assert "income/requirements_predict.txt:4: scikit-learn==1.3" in ended.stderr
    assert ": six" not in ended.stderr
    assert "hint: loosen or correct one of these lines" in ended.stderr


@pytest.mark.parametrize(
    "says",
    [
        "Because the current Python version (3.99.1) does not satisfy Python<3.14 and six==1 needs it ...",
        "Because six==1 has no wheels with a matching Python ABI tag (e.g., `cp399`) ...",
        "  × Failed to build `six==1`",
    ],
)
def test_a_python_that_the_requirements_are_not_for_is_named_with_the_line_that_asks(assemble, says):
    source = SOURCE | {"requirements.txt": "six==1", ".python-version": "# newest\n3.99\n"}
    environ = {"UV_SAYS": says, "MODELYARD_REQUIREMENTS_FILE": "projects/income/rf/requirements_predict.txt"}
    ended = assemble(source, UV_FINDS="/usr/bin/python3.99", **environ)
    assert "projects/income/rf/requirements_predict.txt:1: six==1" in ended.stderr
    assert "hint: projects/income/rf/.python-version:2 asks for Python 3.99: ask for another there" in ended.stderr


def test_requirements_for_another_python_than_the_builder_s_say_how_to_ask_for_one(assemble):
    ended = assemble(SOURCE, UV_SAYS="Because the current Python version (3.11.2) does not satisfy Python>=3.12 ...")
    assert "hint: loosen or correct the lines, or ask for another Python in a file .python-version" in ended.stderr


def test_index_that_cannot_be_reached_is_told_apart(assemble):
    ended = assemble(SOURCE, UV_SAYS="error: Failed to fetch: `https://index.example/simple/six/`")
    assert "hint: the package index could not be reached" in ended.stderr


def test_missing_requirement_is_found_without_running_the_model(assemble, tmp_path):
    source = SOURCE | {"income/predict.py": "open('ran', 'w')\nimport nothing_such\ndef rf(msg): return 1"}
    ended = assemble(source)
    assert ended.returncode == 3
    assert "income/predict.py:2 imports 'nothing_such', which no requirement provides" in ended.stderr
    assert not (tmp_path / "app/ran").exists()


def test_train_image_is_checked_for_training_only(assemble):
    source = SOURCE | {
        ".s2i/environment": "ROUTES=rf:income.predict:rf\nTRAIN_MODULE=income.train",
        "income/predict.py": "import nothing_such\ndef rf(msg): return 1",
        "income/train.py": "def train(msg): return 1",
    }
    assert assemble(source, MODELYARD_KIND="train").returncode == 0
    assert assemble(source, MODELYARD_KIND="predict", MODELYARD_STAGES="source").returncode == 3


def test_function_that_is_not_there_names_the_line_of_the_environment_file(assemble):
    ended = assemble(SOURCE | {".s2i/environment": "# routes\nROUTES=rf:income.predict:forest"})
    assert "environment:2: " in ended.stderr
    assert "defines no 'forest'" in ended.stderr


def test_any_user_of_the_group_may_do_what_the_owner_may(assemble, tmp_path):
    assert assemble(SOURCE).returncode == 0
    mode = (tmp_path / "app/income/predict.py").stat().st_mode
    assert mode & 0o070 == (mode & 0o700) >> 3


def test_assemble_scripts_of_both_builders_are_one():
    one, other = (REPOSITORY / "builders" / name / "s2i/bin/assemble" for name in ("train", "daemon"))
    assert one.read_bytes() == other.read_bytes()


def test_torch_comes_from_its_own_index_unless_a_wheelhouse_has_it(tmp_path):
    environ = {"TORCH_BACKEND": "cpu"}
    assert choose_torch_backend({"torch": []}, environ) == ["--torch-backend", "cpu"]
    assert choose_torch_backend({"six": []}, environ) == []
    assert choose_torch_backend({"torch": []}, {}) == []
    assert choose_torch_backend({"torch": []}, environ | {"UV_TORCH_BACKEND": "cu128"}) == []
    assert choose_torch_backend({"torch": []}, environ | {"UV_NO_INDEX": "1"}) == []
    environ["UV_FIND_LINKS"] = f"https://links.example/,{tmp_path}"
    assert choose_torch_backend({"torch": []}, environ) == ["--torch-backend", "cpu"]
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").touch()
    assert choose_torch_backend({"torch": []}, environ) == []
    cuda = environ | {"TORCH_BACKEND": "cu130"}
    assert choose_torch_backend({"torch": []}, cuda) == ["--torch-backend", "cu130"]
    (tmp_path / "torch-2.13.0+cu130-cp311-cp311-linux_x86_64.whl").touch()
    assert choose_torch_backend({"torch": []}, cuda) == []


def test_cpu_wheel_is_one_for_the_target_s_python_and_machine(tmp_path):
    for number, tag in enumerate(("cp311-cp311-linux_x86_64", "cp312-cp312-linux_x86_64", "cp312-cp312-linux_aarch64")):
        (tmp_path / f"torch-2.{number}.0+cpu-{tag}.whl").touch()
    environ = {"TORCH_BACKEND": "cpu", "UV_FIND_LINKS": str(tmp_path)}
    target = {TARGET: "3.12.4 x86_64-manylinux_2_36"}
    assert find_cpu_wheels(environ | target) == {"torch": "2.1.0+cpu"}


def test_the_python_of_the_target_is_the_one_asked_for(tmp_path):
    def find(version: str) -> str:
        environ = {"PATH": str(tmp_path), TARGET: "3.98.4 x86_64-manylinux_2_36"}
        return find_python(version, default="here", uv="uv-that-is-not-here", environ=environ, asked="a test asks")

    assert (find("3.98"), find("3.98.4")) == ("here", "here")
    with pytest.raises(FileNotFoundError, match="uv-that-is-not-here"):
        find("3.98.5")


def test_cpu_wheel_of_a_wheelhouse_wins_over_a_newer_torch_of_an_index(assemble, tmp_path):
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    for name in ("torch-2.9.0+cpu", "torch-2.13.0+cpu", "torch-2.14.0", "torchvision-0.20.0+cpu"):
        (tmp_path / f"{name}-{python}-{python}-manylinux_2_28_{platform.machine()}.whl").touch()
    (tmp_path / f"torch-2.15.0+cpu-cp27-cp27m-linux_{platform.machine()}.whl").touch()
    environ = {"TORCH_BACKEND": "cpu", "UV_FIND_LINKS": str(tmp_path)}
    assert find_cpu_wheels(environ) == {"torch": "2.13.0+cpu", "torchvision": "0.20.0+cpu"}
    assert find_cpu_wheels(environ | {"TORCH_BACKEND": "cu128"}) == {}
    assert assemble(SOURCE, **environ).returncode == 0
    assert "torch==2.13.0+cpu\n" in (tmp_path / "uv.log").read_text()


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_a_variant_s_torch_comes_from_an_index_that_uv_knows_whatever_machine_builds(variant):
    backend = read_arguments(REPOSITORY / "builders", variant)["TORCH_BACKEND"]
    asked = [find_uv_bin(), "pip", "compile", os.devnull, "--offline", "--torch-backend", backend]
    subprocess.run(asked, check=True, capture_output=True)
    assert backend != "auto"


def test_cpu_variant_refuses_gpu_libraries_by_name(assemble, tmp_path):
    plan = "Would install 3 packages\n + torch==2.15.0\n + nvidia-cublas-cu12==12.8.4\n + nvidia-nccl-cu12==2.27\n"
    ended = assemble(SOURCE, UV_PLANS=plan, TORCH_BACKEND="cpu")
    assert ended.returncode == 1
    assert "requirements.txt: variant cpu, but nvidia-cublas-cu12==12.8.4 and 1 more GPU" in ended.stderr
    assert "hint: take torch from" in ended.stderr
    assert (
        assemble(SOURCE, UV_PLANS=plan, TORCH_BACKEND="cu128", MODELYARD_ENVIRONMENTS=str(tmp_path / "e")).returncode
        == 0
    )


def test_a_line_that_names_a_gpu_library_is_the_one_to_remove(assemble):
    source = SOURCE | {"requirements.txt": "six\nnvidia_nccl-cu12>=2\n"}
    ended = assemble(source, UV_PLANS=" + nvidia-nccl-cu12==2.27\n", TORCH_BACKEND="cpu")
    assert "hint: remove requirements.txt:2, or build with VARIANT=cuda" in ended.stderr


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.13"])
def test_imports_are_looked_for_by_other_pythons(version):
    assert find_absent(Path(find_installed_python(version)), ["json", "sys", "nothing_such"]) == ("nothing_such",)


def test_cuda_variant_refuses_a_torch_for_the_cpu_by_name(assemble, tmp_path):
    plan = "Would install 2 packages\n + numpy==2.4.6\n + torch==2.13.0+cpu\n"
    ended = assemble(SOURCE, TORCH_BACKEND="auto", UV_PLANS=plan)
    assert ended.returncode != 0
    assert "requirements.txt: variant cuda, but torch==2.13.0+cpu would be installed" in ended.stderr
    assert "TORCH_BACKEND=cu130" in ended.stderr
    for version in ("2.13.0", "2.13.0+cu130"):
        environ = {"UV_PLANS": f" + torch=={version}\n", "MODELYARD_ENVIRONMENTS": str(tmp_path / version)}
        assert assemble(SOURCE, TORCH_BACKEND="auto", **environ).returncode == 0


def test_explanation_blames_the_line_whose_file_was_named(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("idna\nsix @ https://example.com/wheels/six.whl\nforest @ https://example.com/")
    said = ["error: The wheel filename `six.whl` is invalid: Must have a version"]
    assert explain_failure(said, requirements, file="r.txt").endswith(
        "\n  r.txt:2: six @ https://example.com/wheels/six.whl"
    )


def test_explanation_blames_no_line_that_was_not_named(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("six\nidna")
    assert (
        explain_failure(["error: no space left"], requirements, file="r.txt")
        == "the requirements could not be installed"
    )
