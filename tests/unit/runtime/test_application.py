import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.runtime.application import (
    APPLICATION_FILE,
    Application,
    Model,
    format_application,
    load_application,
    load_routes,
    parse_application,
)
from modelyard.runtime.errors import InputError

RF = Model(name="income/rf", path="income/rf", routes=("rf",), instances="income/rf/test/test_instances.json")
LR = Model(name="income/lr", path="income/lr", routes=("lr", "lr-proba"))
APPLICATION = Application(name="income/all", kind="predict", models=(RF, LR))
ROUTES = "rf:predict:rf,lr:predict:lr,lr-proba:predict:lr_proba"


def write(root: Path, application: Application) -> None:
    path = root / APPLICATION_FILE
    path.parent.mkdir()
    path.write_text(format_application(application), encoding="utf-8")


relative = st.text(min_size=1).filter(lambda text: not text.startswith("/") and ".." not in text.split("/"))
models = st.builds(
    Model,
    name=st.text(),
    path=relative,
    environment=st.text(),
    routes=st.lists(st.text()).map(tuple),
    instances=st.none() | relative,
)
applications = st.builds(
    Application, name=st.text(), kind=st.sampled_from(["train", "predict"]), models=st.lists(models).map(tuple)
)


@given(applications)
def test_parser_and_formatter_are_inverse(application: Application) -> None:
    assert parse_application(format_application(application)) == application


def test_models_come_from_the_file(tmp_path: Path) -> None:
    write(tmp_path, APPLICATION)
    assert load_application(tmp_path, {"ROUTES": ROUTES}) == APPLICATION


def test_routes_decide_what_is_served(tmp_path: Path) -> None:
    write(tmp_path, APPLICATION)
    application = load_application(tmp_path, {"ROUTES": "lr:predict:lr,extra:other.predict:run"})
    assert [(model.name, model.routes) for model in application.models] == [
        ("income/lr", ("lr",)),
        ("other.predict", ("extra",)),
    ]


def test_without_the_file_each_module_is_a_model(tmp_path: Path) -> None:
    application = load_application(tmp_path, {"ROUTES": "a:income.rf.predict:a,b:income.rf.predict:b,c:predict:c"})
    assert [(model.name, model.path, model.routes) for model in application.models] == [
        ("income.rf.predict", "income/rf", ("a", "b")),
        ("predict", ".", ("c",)),
    ]


def test_predict_module_serves_the_route_predict() -> None:
    (route,) = load_routes({"PREDICT_MODULE": "income.predict", "PREDICT_FUNCTION": "score"})
    assert (route.name, route.module, route.function) == ("predict", "income.predict", "score")
    (route,) = load_routes({"PREDICT_MODULE": "income.predict", "ROUTES": ""})
    assert route.function == "predict"


def test_nothing_to_serve_is_an_error() -> None:
    with pytest.raises(InputError, match="neither ROUTES nor PREDICT_MODULE"):
        load_routes({})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, r"app\.json: schema is 2, not 1"),
        ({"kind": "both"}, r"app\.json: kind is 'both'"),
        ({"name": None}, r"app\.json: name is None, not a str"),
        ({"models": {}}, r"app\.json: models is {}, not a list"),
        ({"models": [1]}, r"app\.json: models\[0\] is 1, not a dict"),
        ({"models": [{"name": "a", "routes": [1]}]}, r"models\[0\]\.routes\[0\] is 1, not a str"),
        ({"models": [{"name": "a", "routes": [], "path": "/etc"}]}, r"models\[0\]\.path is '/etc', outside"),
        (
            {"models": [{"name": "a", "routes": [], "path": "a", "environment": "default", "instances": "../x"}]},
            r"models\[0\]\.instances is '\.\./x', outside",
        ),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], message: str) -> None:
    document = {"schema": 1, "name": "x", "kind": "predict", "models": [], **change}
    with pytest.raises(InputError, match=message):
        parse_application(json.dumps(document), source="app.json")


def test_no_json_is_named_with_its_line() -> None:
    with pytest.raises(InputError, match=r"app\.json:2: no JSON"):
        parse_application('{\n"schema": }', source="app.json")


def test_a_default_route_that_is_none_is_an_error_that_names_the_routes(tmp_path: Path) -> None:
    environ = {"ROUTES": "a:predict:run,b:predict:run", "DEFAULT_ROUTE": "c"}
    with pytest.raises(InputError, match="DEFAULT_ROUTE is 'c', which is no route\n  hint: there are a, b"):
        load_application(tmp_path, environ)
    assert load_application(tmp_path, {**environ, "DEFAULT_ROUTE": "b"}).models
