"""Nothing that a person writes into a file becomes code in what is generated."""

import ast

import pytest

from modelyard.errors import InputError

ENVIRONMENT = "projects/income/forest/.s2i/environment"


@pytest.mark.parametrize(
    "routes",
    [
        "x:income.predict:predict_forest'); import os; ('",
        'x:income.predict"; import os; ":run',
        "x:income.__import__('os').predict:run",
        "x:income.predict:run\\n\\nimport os",
        "x:../../etc.predict:run",
        "x'; import os:income.predict:run",
        "x:income.class:run",
        "x:income.predict:{{ 7 * 7 }}",
    ],
)
def test_routes_that_are_no_identifiers_are_refused(generate_from, routes):
    with pytest.raises(InputError, match="environment:1"):
        generate_from({ENVIRONMENT: f"ROUTES={routes}"})


def test_templates_are_not_expanded_in_what_people_write(generate_from, read):
    tree = generate_from(
        {
            ENVIRONMENT: "ROUTES=forest:income.predict:predict_forest\nX={{ 7 * 7 }}{% raw %}",
            "projects/income/forest/setup.sh": "echo {{ 7 * 7 }} {% include 'x' %}",
        }
    )
    assert "X={{ 7 * 7 }}{% raw %}\n" in read(tree, ".s2i/environment")
    assert "echo {{ 7 * 7 }} {% include 'x' %}\n" in read(tree, "setup.sh")


def test_unicode_identifiers_are_quoted(generate_from, read):
    tree = generate_from(
        {
            ENVIRONMENT: "ROUTES=forest:income.prédire:prédire",
            "projects/income/forest/prédire.py": "def prédire(msg): ...",
        }
    )
    [table] = [node.value for node in ast.parse(read(tree, "predict.py")).body if isinstance(node, ast.Assign)]
    assert ast.literal_eval(table)["income.prédire", "prédire"] == "income.forest.prédire"


@pytest.mark.parametrize("name", ["$(shell id)", "a b", "x;y", "x:y", "x#y", "x\ny"])
def test_a_model_directory_that_would_break_the_makefile_is_refused(generate_from, name):
    with pytest.raises(InputError, match="no Python identifier"):
        generate_from(
            {
                f"projects/income/{name}/.s2i/environment": "ROUTES=x:income.predict:run",
                f"projects/income/{name}/predict.py": "def run(msg): ...",
            }
        )


@pytest.mark.parametrize(
    "line",
    [
        "-r /etc/passwd",
        "--requirement=../x",
        "-e .",
        "-c constraints.txt",
        "./wheel.whl",
        "numpy @ file:///etc/passwd",
        "--config-settings x",
        "--find-links /tmp",
        "numpy; import os",
        "numpy\x1b[31m",
        "$(id)",
    ],
)
def test_requirement_lines_that_reach_beyond_an_index_are_refused(generate_from, line):
    with pytest.raises(InputError, match=r"forest/requirements_predict\.txt:1"):
        generate_from({"projects/income/forest/requirements_predict.txt": f"{line}\n"})
