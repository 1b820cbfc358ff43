"""Environments of all/: which there are, what they are called, what is written, and what is said."""

import json
from pathlib import PurePosixPath

import pytest

from modelyard.codegen.combined import generate
from modelyard.codegen.tree import check_tree, write_tree
from modelyard.errors import InputError
from modelyard.requirements.resolve import Verdict

FOREST, BOOST = (f"projects/income/{name}/requirements_predict.txt" for name in ("forest", "boost"))
SVM = {
    "projects/income/svm/.s2i/environment": "ROUTES=svm:income.svm.predict:predict",
    "projects/income/svm/predict.py": "def predict(msg): ...",
}
PINS = {FOREST: "scikit-learn==1.3.2\n", BOOST: "scikit-learn>=1.6,<2\n"}


def fits(lines, python=None):
    return Verdict(status="fits")


def grouping(tree) -> dict:
    return json.loads(tree.files[PurePosixPath("environments.json")].text)


def groups(tree) -> dict[str, list[str]]:
    return {group["name"]: group["models"] for group in grouping(tree)["groups"]}


def generate_income(workspace, **options):
    return generate(workspace, workspace.combined_directory(workspace.projects_root / "income"), **options)


def test_models_that_go_together_need_no_file_that_says_so(generate_from):
    tree = generate_from({FOREST: "six", BOOST: "idna"}, resolve=fits)
    assert [str(name) for name in tree.files] == ["predict.py", ".s2i/environment", "requirements.txt", "Makefile"]
    assert tree.notes == ()


def test_models_that_fight_have_requirements_of_their_own(generate_from, read):
    tree = generate_from({**PINS, **SVM}, resolve=fits)
    assert groups(tree) == {"default": ["boost", "svm"], "scikit-learn-1.3.2": ["forest"]}
    assert read(tree, "requirements.txt").endswith("\nscikit-learn>=1.6,<2  # boost\n")
    assert read(tree, "environments/scikit-learn-1.3.2.txt").endswith("\nscikit-learn==1.3.2  # forest\n")


def test_a_split_is_explained_in_notes_and_in_both_files(generate_from, read):
    tree = generate_from({**PINS, **SVM}, resolve=fits)
    explanation = (
        "environments default and scikit-learn-1.3.2 cannot be one:",
        f"  boost and forest: {BOOST}:1: scikit-learn>=1.6,<2 cannot go with {FOREST}:1: scikit-learn==1.3.2",
        "  tried: this edit would join them",
        f"    {FOREST}:1: write scikit-learn>=1.6,<2 in place of scikit-learn==1.3.2",
    )
    assert tree.notes == (
        "environment default: boost, svm",
        "environment scikit-learn-1.3.2: forest",
        *explanation,
    )
    for name in ("requirements.txt", "environments/scikit-learn-1.3.2.txt"):
        assert "".join(f"# {line}\n" for line in explanation) in read(tree, name)


def test_the_resolvers_reason_is_told(generate_from):
    def resolve(lines, python=None):
        words = "noise\nBecause forest==1 depends on numpy<2 and you require numpy>=2, ...\nhint: buy more"
        fighting = ("forest==1", "numpy>=2")
        both = set(fighting) <= set(lines)
        return Verdict(status="conflict", fighting=fighting, explanation=words) if both else fits(lines)

    notes = "\n".join(generate_from({FOREST: "forest==1", BOOST: "numpy>=2"}, resolve=resolve).notes)
    assert "Because forest==1 depends on numpy<2" in notes
    assert "noise" not in notes and "hint" not in notes


def test_names_are_those_of_the_pins_and_else_numbers(generate_from):
    assert list(groups(generate_from({FOREST: "x>=2", BOOST: "x<2"}))) == ["default", "group-2"]
    assert list(groups(generate_from({BOOST: "x>=2", FOREST: "x==1.*"}))) == ["default", "x-1"]
    assert list(groups(generate_from({BOOST: "x>=2", FOREST: "x==1.0+CPU.1"}))) == ["default", "x-1.0-cpu.1"]


def test_two_groups_with_one_pin_have_two_names(generate_from):
    files = {
        **SVM,
        BOOST: "x==2\ny==1",
        FOREST: "x==1\ny==2",
        "projects/income/svm/requirements_predict.txt": "x==1\ny==3",
    }
    assert list(groups(generate_from(files))) == ["default", "x-1", "x-1-3"]


def test_offline_the_lines_decide_and_that_is_said(generate_from):
    tree = generate_from(PINS)
    assert list(groups(tree)) == ["default", "scikit-learn-1.3.2"]
    assert grouping(tree)["decided_by"] == "lines"
    assert "  no edit was tried: the package index was not asked" in tree.notes
    assert tree.notes[-1].startswith("these environments follow from the lines alone")


def test_what_was_worked_out_with_the_index_holds_without_it(two_models):
    def resolve(lines, python=None):
        both = {"forest", "boost"} <= set(lines)
        return Verdict(status="conflict", fighting=("boost", "forest")) if both else fits(lines)

    workspace = two_models({FOREST: "forest", BOOST: "boost"})
    write_tree(generate_income(workspace, resolve=resolve))
    check_tree(generate_income(workspace))
    check_tree(generate_income(workspace, resolve=fits, trusts_record=True))
    check_tree(generate_income(workspace, resolve=lambda lines, python=None: Verdict(status="unknown")))
    (workspace.root / BOOST).write_text("boost>=2")
    assert PurePosixPath("environments.json") in generate_income(workspace).absent


@pytest.mark.parametrize(("count", "splits"), [(2, 1), (5, 10), (6, 5), (30, 29)])
def test_many_environments_are_each_set_against_the_default_alone(make_workspace, count, splits):
    files = {}
    for number in range(count):
        files[f"projects/income/m{number}/.s2i/environment"] = f"ROUTES=r{number}:income.m{number}.predict:run"
        files[f"projects/income/m{number}/predict.py"] = "def run(msg): ..."
        files[f"projects/income/m{number}/requirements_predict.txt"] = f"x=={number}"
    tree = generate_income(make_workspace(files), resolve=fits)
    assert (len(groups(tree)), len(grouping(tree)["splits"])) == (count, splits)


def test_the_order_of_models_in_files_is_that_of_model_dirs(two_models):
    pins = {
        BOOST: "six>=1.17\nnumpy",
        FOREST: "six==1.16",
        "projects/income/svm/requirements_predict.txt": "six==1.17\nnumpy",
    }
    workspace = two_models({**SVM, **pins})
    write_tree(generate_income(workspace, resolve=fits))
    assert (
        "# environment default: boost, svm\n" in (workspace.projects_root / "income/all/requirements.txt").read_text()
    )
    check_tree(generate_income(workspace))


def test_files_of_environments_that_are_gone_are_removed_and_no_others(two_models):
    workspace = two_models(PINS)
    all_ = workspace.projects_root / "income" / "all"
    write_tree(generate_income(workspace, resolve=fits))
    (workspace.root / BOOST).write_text("scikit-learn==1.3.2")
    (all_ / "environments/mine.txt").write_text("# my own notes")
    write_tree(generate_income(workspace, resolve=fits))
    assert not (all_ / "environments.json").exists()
    assert [path.name for path in (all_ / "environments").iterdir()] == ["mine.txt"]
    assert (all_ / "requirements.txt").read_text().endswith("scikit-learn==1.3.2  # every model\n")


def test_no_empty_folder_stays_behind(two_models):
    workspace = two_models(PINS)
    write_tree(generate_income(workspace, resolve=fits))
    (workspace.root / BOOST).unlink()
    write_tree(generate_income(workspace, resolve=fits))
    assert not (workspace.projects_root / "income/all/environments").exists()


def test_a_model_with_a_python_of_its_own_has_an_environment_of_its_own(generate_from, read):
    asked = []

    def resolve(lines, python=None):
        asked.append((*lines, python))
        return fits(lines)

    tree = generate_from(
        {FOREST: "six", BOOST: "six", "projects/income/forest/.python-version": "3.12\n"}, resolve=resolve
    )
    assert groups(tree) == {"default": ["boost"], "python-3.12": ["forest"]}
    assert grouping(tree)["groups"][1]["python"] == "3.12"
    assert "# environment python-3.12 (Python 3.12): forest\n" in read(tree, "environments/python-3.12.txt")
    assert "projects/income/forest/.python-version: remove" in "\n".join(tree.notes)
    assert ("six", "3.12") in asked


def test_one_python_for_all_is_one_environment_that_is_written_down(generate_from):
    pythons = {f"projects/income/{name}/.python-version": "3.12" for name in ("forest", "boost")}
    [group] = grouping(generate_from(pythons))["groups"]
    assert (group["name"], group["python"]) == ("default", "3.12")


def test_the_whole_workspace_is_grouped_as_a_project_is(two_models):
    files = {
        "projects/tumor/svm/.s2i/environment": "ROUTES=svm:tumor.svm.predict:predict",
        "projects/tumor/svm/predict.py": "def predict(msg): ...",
        "projects/tumor/svm/requirements_predict.txt": "scikit-learn==1.3.2",
    }
    workspace = two_models({**PINS, **files})
    tree = generate(workspace, workspace.combined_directory(workspace.projects_root), resolve=fits)
    assert groups(tree) == {
        "default": ["income/forest", "tumor/svm"],
        "group-2": ["income/boost"],
    }


@pytest.mark.parametrize("text", ["[]", "<<<<<<< ours\n{", '{"schema": 1}'])
def test_an_environments_file_that_a_merge_broke_is_written_again(two_models, text):
    workspace = two_models({**PINS, "projects/income/all/environments.json": text})
    assert list(groups(generate_income(workspace))) == ["default", "scikit-learn-1.3.2"]


def test_a_line_that_the_asked_for_python_has_no_version_of_is_told_with_what_asks(generate_from):
    def resolve(lines, python=None):
        words = (
            "Because the requested Python version (>=3.9) does not satisfy Python>=3.12 and six==9 depends on it ..."
        )
        fighting = tuple(line for line in lines if line == "six==9" and python == "3.9")
        return Verdict(status="conflict", fighting=fighting, explanation=words) if fighting else fits(lines)

    python = {"projects/income/forest/.python-version": "# old wheels\n3.9\n"}
    with pytest.raises(InputError) as error:
        generate_from({FOREST: "idna\nsix==9", **python}, resolve=resolve)
    assert f"{FOREST}:2: six==9 cannot be installed" in error.value.message
    assert str(error.value.hint).startswith(
        "projects/income/forest/.python-version:2 asks for Python 3.9: ask for another"
    )
