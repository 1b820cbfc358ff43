"""What `all/` holds, and that what is staged from it answers by the right model's function."""

import pytest

from modelyard.codegen.combined import generate
from modelyard.codegen.tree import write_tree
from modelyard.errors import WorkspaceError
from modelyard.requirements.resolve import Verdict


def test_generating_twice_changes_nothing(two_models):
    workspace = two_models({"projects/income/boost/setup.sh": "true"})
    for expected in (5, 0):
        combined = workspace.combined_directory(workspace.projects_root / "income")
        assert len(write_tree(generate(workspace, combined))) == expected


def test_setup_sh_goes_when_no_model_has_one_any_more(two_models):
    workspace = two_models({"projects/income/all/setup.sh": "left over"})
    write_tree(generate(workspace, workspace.combined_directory(workspace.projects_root / "income")))
    assert not (workspace.projects_root / "income/all/setup.sh").exists()


def test_routes_stay_as_written_in_the_order_of_model_dirs(generate_from, read):
    tree = generate_from({"projects/income/all/Makefile": "MODEL_DIRS = forest boost\n"})
    assert read(tree, ".s2i/environment").splitlines()[1] == (
        "ROUTES=forest:income.predict:predict_forest,boost:income.predict:predict_boost"
    )


def test_predict_module_without_routes_becomes_the_route_predict(generate_from, read):
    tree = generate_from(
        {
            "projects/income/forest/.s2i/environment": (
                "PREDICT_MODULE=income.predict\nPREDICT_FUNCTION=predict_forest\nTRAIN_MODULE=income.train\n"
            )
        }
    )
    assert "predict:income.predict:predict_forest" in read(tree, ".s2i/environment")


def test_variables_that_models_agree_on_are_kept_and_those_of_one_model_are_not(generate_from, read):
    own = "\nTRAIN_MODULE=income.train\nTRAIN_EPOCHS=3\nMODEL_NAME=x\nMODElNAME=x\n"
    tree = generate_from(
        {
            "projects/income/forest/.s2i/environment": f"ROUTES=f:income.predict:predict_forest{own}LOG=info",
            "projects/income/boost/.s2i/environment": f"ROUTES=b:income.predict:predict_boost{own}LOG=info\nX='a b '",
        }
    )
    lines = read(tree, ".s2i/environment").splitlines()
    assert [line for line in lines if line[0] != "#" and not line.startswith("ROUTES")] == ["LOG=info", 'X="a b "']


def test_the_makefile_keeps_what_people_set_in_it(generate_from, read):
    makefile = read(
        generate_from({"projects/income/all/Makefile": "MODEL_DIRS=boost\nCONTAINER_NAME = my-daemon # ours\n"}),
        "Makefile",
    )
    assert "MODEL_DIRS     = boost\n" in makefile and "CONTAINER_NAME = my-daemon\n" in makefile
    assert makefile.endswith("include ../../recipes.mk\n")


def test_the_workspace_wide_makefile_includes_the_recipes_next_to_it(two_models, read):
    workspace = two_models()
    makefile = read(generate(workspace, workspace.combined_directory(workspace.projects_root)), "Makefile")
    assert makefile.endswith("include ../recipes.mk\n") and "income/boost income/forest" in makefile


def test_models_that_model_dirs_leaves_out_are_named(generate_from):
    tree = generate_from({"projects/income/all/Makefile": "MODEL_DIRS = boost\n"})
    assert tree.notes == ("projects/income/all/Makefile: MODEL_DIRS leaves out forest",)


def test_an_index_that_cannot_be_asked_is_a_note_and_no_error(generate_from):
    unknown = Verdict(status="unknown", explanation="Failed to fetch: https://index.example/\nmore")
    tree = generate_from(
        {"projects/income/boost/requirements_predict.txt": "six"}, resolve=lambda lines, python=None: unknown
    )
    assert tree.notes == (
        "nobody could say whether the requirements fit together: Failed to fetch: https://index.example/",
    )


def test_the_index_is_asked_about_the_union_and_only_where_something_is_required(generate_from):
    asked = []

    def resolve(lines, python=None):
        asked.append(list(lines))
        return Verdict(status="fits")

    generate_from(resolve=resolve)
    assert asked == []
    generate_from(
        {
            "projects/income/forest/requirements_predict.txt": "six\nNumPy",
            "projects/income/boost/requirements_predict.txt": "numpy",
        },
        resolve=resolve,
    )
    assert asked == [["numpy", "six"]]


def test_nothing_to_combine_is_an_error(make_workspace):
    workspace = make_workspace({"projects/income/README.md": ""})
    with pytest.raises(WorkspaceError, match="no model directory to combine"):
        generate(workspace, workspace.combined_directory(workspace.projects_root / "income"))
