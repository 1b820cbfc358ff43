"""What each command imports is listed in tests/golden/imports: what a person waits for is the whole command.

A command may import less than its list has, never more. `pytest --update-golden` writes the lists again: a line more is
reviewed as code, for everybody who runs the command waits for it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, write_files

LISTS = REPOSITORY / "tests" / "golden" / "imports"
# Runs one command and prints, last of all, what it has imported: our own modules, and the packages of others.
LOADED = """
import atexit, json, sys
before = set(sys.modules)

def tell():
    new = {name for name in set(sys.modules) - before if name.partition(".")[0] not in sys.stdlib_module_names}
    new = {name for name in new if "cython_" not in name}  # what PyYAML was compiled by, with its version
    shown = {name if name.startswith("modelyard") else name.partition(".")[0] for name in new}
    print("\\n" + json.dumps(sorted(shown)), file=sys.stderr)

atexit.register(tell)
from modelyard.cli import main
main(sys.argv[1:])
"""
# Installs nothing: what is measured is the command.
ASSEMBLE = """\
#!/bin/bash
set -e
case " $MODELYARD_STAGES " in
*" requirements "*) mkdir -p "$MODELYARD_ENVIRONMENTS/default" ;;
*" source "*) mkdir -p "$APP_ROOT" && cp -R "$S2I_SOURCE/." "$APP_ROOT/" ;;
esac
"""
ENVIRONMENT = "TRAIN_MODULE=flowers.iris.train\nROUTES=iris:flowers.iris.predict:predict\n"
FILES = {
    "builders/cpu.args": "BASE_IMAGE=python:3.11-slim\n",
    "builders/tools.txt": "uv\n",
    "builders/daemon/s2i/bin/assemble": ASSEMBLE,
    "builders/train/s2i/bin/assemble": ASSEMBLE,
    "builders/train/s2i/bin/run": "#!/bin/bash\nexit 0\n",
    "builders/daemon/s2i/bin/run": "#!/bin/bash\nexit 0\n",
    "projects/flowers/iris/.s2i/environment": ENVIRONMENT,
    "projects/flowers/iris/predict.py": "def predict(message):\n    return message\n",
    "projects/flowers/iris/requirements_predict.txt": "",
    "projects/flowers/iris/test/test_instances.json": '{"instances": [[1, 2]]}\n',
    "projects/flowers/flow.yaml": "steps:\n  train: {run: 'train:train'}\n",
    "projects/flowers/iris/train.py": "def train():\n    return {}\n",
    "scripts/predict.py": "def predict(message):\n    return message\n",
    "stored/model.bin": "",
    "pictures/Dockerfile": "FROM scratch\nCOPY Dockerfile /\n",
    "utils/__init__.py": "",
    "common_utils/__init__.py": "",
}
# The cheapest thing that each command really does on the embedded engine, in this order, in one workspace.
COMMANDS = {
    "help": ["--help"],
    "completion": ["completion", "bash"],
    "init": ["init", "another"],
    "new": ["new", "project", "trees"],
    "stage": ["stage", "projects/flowers/iris", "predict", "context"],
    "build": ["build", "projects/flowers/iris"],
    "images": ["images"],
    "inspect": ["inspect", "flowers-iris-predict"],
    "run": ["run", "flowers-iris-predict"],
    "ps": ["ps"],
    "prune": ["prune"],
    "rmi": ["rmi", "flowers-iris-predict"],
    "generate": ["generate", "projects/flowers"],
    "lock": ["lock", "projects/flowers/iris", "--check"],
    "flow": ["flow", "plan", "projects/flowers"],
    "runs": ["runs", "list", "-p", "projects/flowers"],
    "train": ["train", "projects/flowers/iris", "--dry-run"],
    "job": ["job", "list"],
    "kubeml": ["kubeml", "task", "list"],
    "history": ["history", "list"],
    "dataset": ["dataset", "list"],
    "serve": ["serve", "projects/flowers/iris", "--dry-run"],
    "adopt": ["adopt", "scripts", "--dry-run"],
    "store": ["store", "ls", "stored"],
    "s2i": ["s2i", "version"],
    "seldon": ["seldon", "init-package", "package"],
    "manifests": ["manifests", "projects/flowers/iris", "--image", f"registry.example/iris@sha256:{'0' * 64}"],
    "logout": ["logout", "registry.example.org"],
    "doctor": ["doctor"],
    "image": ["image", "build", "pictures", "pictures"],
    "sbom": ["sbom", "pictures", "--format", "provenance"],
    # What these do needs a container, a registry or an engine of images: here they say that there is none.
    "data": ["data", "projects/flowers"],
    "demo": ["demo"],
    "test": ["test", "projects/flowers/iris", "--port", "1"],
    "logs": ["logs", "nobody"],
    "stop": ["stop", "nobody"],
    "push": ["push", "nobody", "localhost:1/iris"],
    "pull": ["pull", "localhost:1/iris", "oci:pulled"],
    "copy": ["copy", "localhost:1/iris", "oci:copied"],
    "tags": ["tags", "localhost:1/iris"],
    "login": ["login", "localhost:1", "--username", "somebody"],
    "verify-image": ["verify-image", "localhost:1/iris"],
}
REFUSED = frozenset(list(COMMANDS)[list(COMMANDS).index("data") :])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose one image is built, so that nothing has changed for `build`."""
    root = tmp_path_factory.mktemp("imports") / "workspace"
    write_files(root, FILES)
    for script in root.glob("builders/*/s2i/bin/*"):
        script.chmod(0o755)
    import_of(root, COMMANDS["build"])
    import_of(root, COMMANDS["image"])
    return root


def import_of(root: Path, arguments: list[str], *, is_refused: bool = False) -> list[str]:
    """Run a command in a process of its own; return what it imported."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(root.parent), "MODELYARD_HOME": str(root.parent / "home")}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        cwd=root,
        env={**environ, "MODELYARD_ENGINE": "local"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == is_refused or arguments == COMMANDS["doctor"], done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    loaded: list[str] = json.loads(done.stderr.splitlines()[-1])
    return loaded


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_imports_nothing_that_is_not_on_its_list(command: str, workspace: Path, update_golden: bool):
    loaded = import_of(workspace, COMMANDS[command], is_refused=command in REFUSED)
    path = LISTS / f"{command}.txt"
    if update_golden:
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in loaded))
    assert set(loaded) - set(path.read_text().split()) == set()


def test_what_a_build_without_a_change_does_without():
    listed = set((LISTS / "build.txt").read_text().split())
    assert listed.isdisjoint({"docker", "requests", "jinja2", "rich", "uv", "boto3"})
