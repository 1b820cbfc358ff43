"""What keeps models from being combined: each error names both sides, with file and line, and says what to do."""

import pytest

from modelyard.errors import InputError
from modelyard.requirements.resolve import Verdict

FOREST, BOOST = "projects/income/forest", "projects/income/boost"


def test_two_models_with_one_route(generate_from):
    with pytest.raises(InputError) as caught:
        generate_from({f"{FOREST}/.s2i/environment": "# mine\nROUTES=boost:income.predict:predict_forest"})
    assert caught.value.message == (
        f"{FOREST}/.s2i/environment:2: claims the route 'boost', and so does {BOOST}/.s2i/environment:1"
    )
    assert caught.value.hint == "give one of the two another route"


def test_two_models_that_need_one_name(generate_from):
    with pytest.raises(InputError, match=r"needs the name income\.predict\.predict_boost") as caught:
        generate_from(
            {
                f"{FOREST}/.s2i/environment": "ROUTES=forest:income.predict:predict_boost",
                f"{FOREST}/predict.py": "def predict_boost(msg): ...",
            }
        )
    assert f"{FOREST}/.s2i/environment:1" in str(caught.value) and f"{BOOST}/.s2i/environment:1" in str(caught.value)


def test_a_module_path_where_another_models_file_is_staged(generate_from):
    with pytest.raises(
        InputError, match=f"'income.boost.predict' would be generated, but {BOOST}/predict.py is staged"
    ):
        generate_from({f"{FOREST}/.s2i/environment": "ROUTES=forest:income.boost.predict:predict_forest"})


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("income.boost", "a package of that name holds other modules"),
        ("common_utils.split.forest", "common_utils.split is a module, not a package"),
        ("json", "'json' is Python's own"),
        ("modelyard.predict", "it is the runtime's own"),
    ],
)
def test_a_module_path_that_cannot_be_generated(generate_from, module, why):
    leaf = module.rpartition(".")[2]
    with pytest.raises(InputError, match=f"environment:1: in all/ the module '{module}' would be generated, but {why}"):
        generate_from(
            {
                "common_utils/split.py": "",
                f"{FOREST}/.s2i/environment": f"ROUTES=forest:{module}:predict_forest",
                f"{FOREST}/{leaf}.py": "def predict_forest(msg): ...",
            }
        )


def test_a_function_that_does_not_exist(generate_from):
    with pytest.raises(
        InputError, match=f"{FOREST}/.s2i/environment:1: names the function 'typo', but {FOREST}/predict"
    ):
        generate_from({f"{FOREST}/.s2i/environment": "ROUTES=forest:income.predict:typo"})


def test_a_module_that_does_not_exist(generate_from):
    with pytest.raises(InputError, match=f"names the module 'income.typo', but there is no {FOREST}/typo.py"):
        generate_from({f"{FOREST}/.s2i/environment": "ROUTES=forest:income.typo:predict_forest"})


def test_a_syntax_error(generate_from):
    with pytest.raises(InputError, match=r"forest/predict.py:2: expected ':'"):
        generate_from({f"{FOREST}/predict.py": "x = 1\ndef predict_forest(msg) return\n"})


@pytest.mark.parametrize(
    "line", ["from .missing import x", "from . import missing", "from income.common_utils.missing import x"]
)
def test_an_import_of_a_local_module_that_does_not_exist(generate_from, line):
    with pytest.raises(InputError, match=rf"{FOREST}/predict.py:2: imports '.*missing'"):
        generate_from({f"{FOREST}/predict.py": f"import os\n{line}\n\ndef predict_forest(msg): ...\n"})


def test_an_import_that_breaks_further_down_the_chain(generate_from):
    with pytest.raises(
        InputError, match=r"projects/income/common_utils/answer.py:1: imports 'income.common_utils.gone'"
    ):
        generate_from(
            {
                f"{FOREST}/predict.py": "from income.common_utils.answer import x\n\ndef predict_forest(msg): ...\n",
                "projects/income/common_utils/answer.py": "import income.common_utils.gone\n",
            }
        )


def test_a_sibling_that_is_imported_by_its_package_moves_beside_other_models(generate_from):
    with pytest.raises(InputError, match=r"imports 'income.features', which is no module here") as caught:
        generate_from(
            {
                f"{FOREST}/predict.py": "from income.features import NAMES\n\ndef predict_forest(msg): ...\n",
                f"{FOREST}/features.py": "NAMES = []",
            }
        )
    assert "from .features import NAMES" in caught.value.hint


def test_a_sibling_that_a_generated_module_takes_the_place_of(generate_from):
    with pytest.raises(InputError, match=r"imports 'helper' from 'income.predict', which all/ generates without it"):
        generate_from(
            {
                f"{FOREST}/predict.py": "from .more import x\n\ndef helper(): ...\ndef predict_forest(msg): ...\n",
                f"{FOREST}/more.py": "from income.predict import helper\nx = 1\n",
            }
        )


def test_bare_and_relative_siblings_are_fine(generate_from):
    generate_from(
        {
            f"{FOREST}/.s2i/environment": "ROUTES=forest:predict:predict_forest",
            f"{FOREST}/predict.py": "import features\n\ndef predict_forest(msg): ...\n",
            f"{FOREST}/features.py": "import numpy",
            f"{BOOST}/predict.py": "from .features import NAMES\n\ndef predict_boost(msg): ...\n",
            f"{BOOST}/features.py": "NAMES = []",
        }
    )


def test_a_model_directory_whose_name_is_no_identifier(generate_from):
    with pytest.raises(InputError, match=r"projects/income/random-forest: .*no Python identifier") as caught:
        generate_from(
            {
                "projects/income/random-forest/.s2i/environment": "ROUTES=x:income.predict:run",
                "projects/income/random-forest/predict.py": "def run(msg): ...",
            }
        )
    assert "random_forest" in caught.value.hint


def test_a_package_that_hides_a_requirement(generate_from):
    with pytest.raises(
        InputError, match=rf"{FOREST}: puts 'sklearn' .* {FOREST}/requirements_predict.txt:1: scikit-learn"
    ):
        generate_from(
            {
                f"{FOREST}/.s2i/environment": "ROUTES=forest:sklearn.predict:predict_forest",
                f"{FOREST}/requirements_predict.txt": "scikit-learn\n",
            }
        )


def test_a_variable_that_two_models_set_differently(generate_from):
    with pytest.raises(InputError) as caught:
        generate_from(
            {
                f"{FOREST}/.s2i/environment": "ROUTES=f:income.predict:predict_forest\nLOG_LEVEL=debug",
                f"{BOOST}/.s2i/environment": "LOG_LEVEL=info\nROUTES=b:income.predict:predict_boost",
            }
        )
    assert caught.value.message == (
        f"{FOREST}/.s2i/environment:2: sets LOG_LEVEL to 'debug', but {BOOST}/.s2i/environment:1 sets it to 'info'"
    )


def test_a_setup_script_with_windows_line_ends(generate_from):
    with pytest.raises(InputError, match=f"{FOREST}/setup.sh:2: Windows line ends"):
        generate_from({f"{FOREST}/setup.sh": "true\ntrue\r\n"})


def test_requirements_of_one_model_that_exclude_each_other(generate_from):
    with pytest.raises(InputError) as caught:
        generate_from({f"{FOREST}/requirements_predict.txt": "# old\nscikit-learn==1.3.0\nscikit-learn>=1.6,<2\n"})
    assert caught.value.message == (
        f"{FOREST}/requirements_predict.txt:2: scikit-learn==1.3.0 cannot go with "
        f"{FOREST}/requirements_predict.txt:3: scikit-learn>=1.6,<2"
    )


def test_requirements_of_one_model_that_the_resolver_refuses_are_named_with_its_words(generate_from):
    verdict = Verdict(status="conflict", fighting=("numpy>=2", "scikit-learn==1.3.0"), explanation="Because ...")
    with pytest.raises(InputError) as caught:
        generate_from(
            {
                f"{FOREST}/requirements_predict.txt": "scikit-learn==1.3.0\nnumpy>=2\n",
                f"{BOOST}/requirements_predict.txt": "six\n",
            },
            resolve=lambda lines, python=None: verdict if "numpy>=2" in lines else Verdict(status="fits"),
        )
    assert caught.value.message == (
        f"{FOREST}/requirements_predict.txt:2: numpy>=2 cannot go with "
        f"{FOREST}/requirements_predict.txt:1: scikit-learn==1.3.0\n  Because ..."
    )


def test_everything_that_is_wrong_is_named_at_once(generate_from):
    with pytest.raises(InputError) as caught:
        generate_from(
            {
                f"{FOREST}/.s2i/environment": "ROUTES=forest:income.predict:typo",
                f"{BOOST}/.s2i/environment": "ROUTES=boost:income.gone:predict_boost",
            }
        )
    assert "'typo'" in caught.value.message and "'income.gone'" in caught.value.message
