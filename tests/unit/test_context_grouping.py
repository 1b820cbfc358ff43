"""environments.json: written and read back, and what staging makes of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.context.build_context import load_context
from modelyard.context.grouping import Group, Grouping, Split, explain_split, format_grouping, parse_grouping
from modelyard.context.staging import stage_combined, stage_model
from modelyard.errors import InputError
from modelyard.runtime.application import parse_application

NAMES = st.from_regex(r"[a-z0-9]+(-[a-z0-9.]*[a-z0-9])?", fullmatch=True)
PYTHONS = st.none() | st.sampled_from(["3.11", "3.12.4"])
GROUPS = st.builds(Group, name=NAMES, models=st.lists(st.text()).map(tuple), python=PYTHONS)
TEXTS = st.lists(st.text(), max_size=3).map(tuple)
SPLITS = st.builds(Split, environments=st.tuples(NAMES, NAMES), reasons=TEXTS, join=TEXTS, tried=st.booleans())
GROUPINGS = st.builds(
    lambda python, models, others, **rest: Grouping(
        groups=(Group(name="default", models=models, python=python), *others), **rest
    ),
    PYTHONS,
    TEXTS,
    st.lists(GROUPS, max_size=3),
    splits=st.lists(SPLITS, max_size=2).map(tuple),
    decided_by=st.sampled_from(["resolver", "lines"]),
    inputs=st.text(),
)


@given(GROUPINGS)
def test_parser_and_formatter_are_inverse(grouping):
    assert parse_grouping(format_grouping(grouping)) == grouping


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schema": 2}, "another version"),
        ({"groups": []}, "the first environment is not 'default'"),
        ({"groups": [{"name": "../up", "models": [], "python": None}]}, "'../up' is no name"),
        ({"splits": [{"environments": ["one"]}]}, "environments.json: no grouping"),
        ({"groups": 7}, "environments.json: no grouping"),
    ],
)
def test_what_was_not_generated_is_refused(change, why):
    text = format_grouping(Grouping(groups=(Group(name="default", models=("a",)),)))
    with pytest.raises(InputError, match=why) as caught:
        parse_grouping(json.dumps(json.loads(text) | change))
    assert "make generate" in caught.value.hint


def test_a_split_is_explained_with_the_edit_that_was_tried():
    split = Split(environments=("default", "six-1.16"), reasons=("a and b: x cannot go with y",))
    assert list(explain_split(split))[-1] == "  no edit was tried: the package index was not asked"
    tried = Split(environments=("default", "six-1.16"), reasons=split.reasons, tried=True)
    assert list(explain_split(tried))[-1] == "  no edit of one to three lines was found that would join them"
    joined = Split(environments=("default", "six-1.16"), reasons=split.reasons, tried=True, join=("r.txt:1: write z",))
    assert list(explain_split(joined)) == [
        "environments default and six-1.16 cannot be one:",
        "  a and b: x cannot go with y",
        "  tried: this edit would join them",
        "    r.txt:1: write z",
    ]


GROUPING = Grouping(
    groups=(Group(name="default", models=("new", "web")), Group(name="six-1.16", models=("old",), python="3.12"))
)


@pytest.fixture
def combined(make_workspace):
    """A project of three models and its all/ of two environments, with `files` in place of theirs."""

    def make(**files: str):
        models = {}
        for name in ("new", "old", "web"):
            models[f"projects/mix/{name}/.s2i/environment"] = f"ROUTES={name}:mix.{name}.predict:run"
            models[f"projects/mix/{name}/predict.py"] = "def run(msg): return 1\n"
        generated = {
            "projects/mix/all/.s2i/environment": "ROUTES=new:mix.new.predict:run,old:mix.old.predict:run",
            "projects/mix/all/environments.json": format_grouping(GROUPING),
            "projects/mix/all/environments/six-1.16.txt": "six==1.16 # old",
            "projects/mix/all/requirements.txt": "six>=1.17",
        }
        workspace = make_workspace({**models, **generated, **{f"projects/mix/{k}": v for k, v in files.items()}})
        return workspace, workspace.combined_directory(workspace.projects_root / "mix")

    return make


def test_each_environment_is_staged_and_each_model_knows_its_own(combined, tmp_path):
    context = stage_combined(*combined(), tmp_path)
    application = parse_application((context.source / ".s2i/application.json").read_text())
    assert {model.name: model.environment for model in application.models} == {
        "mix/new": "default",
        "mix/old": "six-1.16",
        "mix/web": "default",
    }
    default, old = context.environments
    assert (default.name, default.folder, default.python, default.requirements) == (
        "default",
        context.source,
        None,
        ("six>=1.17",),
    )
    assert (old.name, old.folder.name, old.python, old.requirements) == ("six-1.16", "six-1.16", "3.12", ("six==1.16",))
    assert old.requirements_file == "projects/mix/all/environments/six-1.16.txt"


def test_the_dependencies_digest_covers_every_environment(combined, tmp_path):
    context = stage_combined(*combined(), tmp_path)
    digests = {context.dependencies_digest}
    folder = context.environments[1].folder
    for path, text in ((folder / "requirements.txt", "six==1.15"), (folder / ".python-version", "3.13")):
        path.write_text(text)
        digests.add(load_context(context.root).dependencies_digest)
    (context.source / "setup.sh").write_text("true")
    digests.add(load_context(context.root).dependencies_digest)
    assert len(digests) == 4


def test_a_model_that_was_added_since_is_an_error(combined, tmp_path):
    files = {"svm/.s2i/environment": "ROUTES=svm:mix.svm.predict:run", "svm/predict.py": "def run(msg): return 1\n"}
    with pytest.raises(InputError, match=r"environments.json: says of no environment that svm runs in it"):
        stage_combined(*combined(**files), tmp_path)


def test_requirements_that_are_gone_are_an_error(combined, tmp_path):
    workspace, directory = combined()
    (directory.path / "environments/six-1.16.txt").unlink()
    with pytest.raises(InputError, match=r"six-1.16.txt: no such file, but .*environments.json names") as caught:
        stage_combined(workspace, directory, tmp_path)
    assert "modelyard generate" in caught.value.hint


def test_a_single_model_takes_its_python_along(combined, tmp_path):
    workspace, _ = combined(**{"old/.python-version": "# for old wheels\n3.12\n"})
    plain, pinned = (
        stage_model(
            workspace, workspace.model_directory(workspace.projects_root / "mix" / name), "predict", tmp_path / name
        )
        for name in ("new", "old")
    )
    assert (plain.environments[0].python, pinned.environments[0].python) == (None, "3.12")
    assert pinned.environments[0].asked == "projects/mix/old/.python-version:2 asks for Python 3.12"
    assert (plain.environments[0].asked, (pinned.source / ".python-version").is_file()) == ("", True)
    assert not (pinned.source / "mix/old/.python-version").exists()
    assert plain.dependencies_digest != pinned.dependencies_digest


@pytest.mark.parametrize("text", ["pypy", "2.7", "3", "3.8", "", "# none", "3.12; rm -rf"])
def test_a_version_that_is_none_is_named_with_its_file(combined, tmp_path, text):
    workspace, _ = combined(**{"old/.python-version": text})
    with pytest.raises(InputError, match=r"old/.python-version"):
        stage_model(workspace, workspace.model_directory(workspace.projects_root / "mix/old"), "predict", tmp_path)


def test_a_folder_in_the_version_s_place_is_named(combined, tmp_path):
    workspace, _ = combined()
    model = workspace.model_directory(workspace.projects_root / "mix/old")
    (model.path / ".python-version").mkdir()
    with pytest.raises(InputError, match=r"old/\.python-version: a folder, expected a file"):
        stage_model(workspace, model, "predict", tmp_path)
