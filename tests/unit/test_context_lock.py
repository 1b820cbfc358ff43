"""Lock files: when one is fresh, and what a build context is with locks in place of its requirements."""

from dataclasses import replace

import pytest

from modelyard.context.build_context import BuildContext
from modelyard.context.lock import Target, apply_locks, find_locks, is_locked
from modelyard.context.requirements import requirement_lines
from modelyard.context.staging import stage_model
from tests.conftest import write_files

MODEL = "projects/demo/m"
FILES = {
    f"{MODEL}/.s2i/environment": "TRAIN_MODULE=train\n",
    f"{MODEL}/train.py": "def train(msg): return {}\n",
    f"{MODEL}/requirements_train.txt": "--extra-index-url https://me:secret@host.example/simple\nsix>=1  # any\n",
}
LINUX = Target(python="3.11", platform="x86_64-unknown-linux-gnu")
PINS = "six==1.17.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"


@pytest.fixture
def context(make_workspace, tmp_path) -> BuildContext:
    workspace = make_workspace(FILES)
    return stage_model(workspace, workspace.model_directory(workspace.root / MODEL), "train", tmp_path / "context")


def write_lock(context: BuildContext, target: Target = LINUX):
    (lock,) = find_locks(context, target)
    lock.path.write_text(lock.format(PINS))
    return lock


def test_a_lock_lies_beside_its_requirements_and_says_what_it_is_of(context):
    (lock,) = find_locks(context, LINUX)
    assert lock.state == "missing"
    assert write_lock(context).state == "fresh"
    assert lock.path.name == "requirements_train.lock"
    assert lock.path.read_text().startswith(
        f"# {MODEL}/requirements_train.txt for Python 3.11 on x86_64-unknown-linux-gnu, written by `modelyard lock`.\n"
    )
    assert "host.example" not in lock.path.read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"target": replace(LINUX, python="3.12")},
        {"target": replace(LINUX, platform="aarch64-unknown-linux-gnu")},
        {"arguments": {"TORCH_BACKEND": "cu128"}},
        {"arguments": {"EXCLUDED_PACKAGES": "six"}},
        {"requirements": ("six",)},
        {"python": "3.13"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_lock_of_anything_else_is_stale(context, change):
    write_lock(context)
    environment = context.environments[0]
    changed = replace(
        context,
        arguments={**context.arguments, **change.get("arguments", {})},
        environments=(
            replace(
                environment,
                requirements=change.get("requirements", environment.requirements),
                python=change.get("python"),
            ),
        ),
    )
    (lock,) = find_locks(changed, change.get("target", LINUX))
    assert lock.state == "stale"


def test_comments_and_blank_lines_leave_a_lock_fresh(context):
    write_lock(context)
    place = context.source / "requirements.txt"
    place.write_text("# another\n\n" + place.read_text())
    assert [lock.state for lock in find_locks(context, LINUX)] == ["fresh"]


def test_what_is_no_lock_is_stale(context):
    write_lock(context).path.write_bytes(b"\xff\xfe six")
    assert [lock.state for lock in find_locks(context, LINUX)] == ["stale"]


def test_locks_take_the_place_of_requirements_and_their_options_stay(context):
    lock = write_lock(context)
    locked = apply_locks(context)
    assert is_locked(locked) and not is_locked(context)
    assert locked.requirements == (
        "six==1.17.0 --hash=sha256:aa --hash=sha256:bb",
        "--extra-index-url https://me:secret@host.example/simple",
    )
    assert locked.about.requirements == f"{MODEL}/requirements_train.lock"
    assert (locked.source / "requirements.txt").read_text().startswith(lock.path.read_text())
    assert locked.dependencies_digest != context.dependencies_digest


def test_no_requirements_need_no_lock(make_workspace, tmp_path):
    workspace = make_workspace({**FILES, f"{MODEL}/requirements_train.txt": "# none\n"})
    model = workspace.model_directory(workspace.root / MODEL)
    context = stage_model(workspace, model, "train", tmp_path / "context")
    assert list(find_locks(context, LINUX)) == []


def test_a_lock_is_no_source(make_workspace, tmp_path):
    workspace = make_workspace({**FILES, f"{MODEL}/requirements_train.lock": PINS})
    model = workspace.model_directory(workspace.root / MODEL)
    context = stage_model(workspace, model, "train", tmp_path / "context")
    assert list(context.source.rglob("*.lock")) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a==1 \\\n  --hash=x \\\n  --hash=y\nb\n", [(1, "a==1 --hash=x --hash=y"), (4, "b")]),
        ("# c\n\na \\\n# in between\nb\n", [(3, "a "), (5, "b")]),
        ("a \\", [(1, "a")]),
    ],
)
def test_a_line_goes_on_after_a_backslash(tmp_path, text, lines):
    write_files(tmp_path, {"r.txt": text})
    assert list(requirement_lines(tmp_path / "r.txt")) == lines
