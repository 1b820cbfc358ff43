import json
import re
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from modelyard.runtime.application import Application, Model
from modelyard.runtime.daemon.settings import Settings
from modelyard.runtime.daemon.status import ModelStatus, write_status
from modelyard.runtime.gateway.app import create_app
from modelyard.runtime.gateway.pictures import find_picture

PNG = "iVBORw0KGgo" + "A" * 60
ROWS = [[0, 255] * 14] * 28


@pytest.mark.parametrize(
    ("instances", "path", "kind"),
    [
        ({"instances": [{"b64": PNG}]}, ("instances", 0, "b64"), "file"),
        ({"payload": {"instances": [{"image_bytes": {"b64": PNG}}]}}, ("payload", "instances", 0, "image_bytes", "b64"),
         "file"),
        ({"binData": f"data:image/png;base64,{PNG}"}, ("binData",), "file"),
        ({"instances": [ROWS, ROWS]}, ("instances", 0), "rows"),
        ({"instances": [[ROWS]]}, ("instances", 0, 0), "rows"),
    ],
)  # fmt: skip
def test_a_picture_is_found_however_it_is_written(instances: Any, path: Any, kind: str) -> None:
    picture = find_picture(instances)
    assert picture is not None
    assert (picture.path, picture.kind) == (path, kind)


@pytest.mark.parametrize(
    "instances",
    [
        {"instances": ROWS},  # a table of 28 rows with 28 columns
        {"instances": [[[1.0] * 28] * 27]},
        {"instances": [[["a"] * 28] * 28]},
        {"instances": [[[1.0] * 4] * 4]},
        {"instances": [{"b64": "iVBORw0KGgo"}]},
        {"instances": []},
        "text",
        None,
    ],
)
def test_what_is_no_picture_is_none(instances: Any) -> None:
    assert find_picture(instances) is None


def test_the_scale_of_grey_values_is_that_of_the_picture() -> None:
    half = find_picture({"instances": [[[0.5] * 28] * 28]})
    full = find_picture({"instances": [ROWS]})
    assert half is not None and full is not None
    assert (half.most, half.width, half.height, full.most) == (1, 28, 28, 255)


@pytest.fixture
def make_client(tmp_path):
    """A client of the app of two routes; the first has test instances and a token, and showed its answer."""
    apps = []

    def make(instances: str = '{"instances": [[1, "a"]]}', *, shown: Any = None):
        (tmp_path / "instances.json").write_text(instances)
        (tmp_path / "tokens").write_text("a=sesame")
        models = (Model(name="m", routes=("a",), instances="instances.json"), Model(name="n", routes=("b/c",)))
        answers = {"a": shown} if shown else {}
        write_status(tmp_path, [ModelStatus(name="m", state="ready", answers=answers), ModelStatus(name="n")])
        application = Application(name="income/all", kind="predict", models=models)
        app = create_app(application, root=tmp_path, run_dir=tmp_path, settings=Settings(tokens=tmp_path / "tokens"))
        apps.append(app)
        return app.test_client()

    yield make
    for app in apps:
        app.extensions["fleet"].close()


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_run_their_own_scripts_only_and_load_nothing(make_client, path: str) -> None:
    response = make_client().get(path)
    policy = response.headers["Content-Security-Policy"]
    nonces = set(re.findall(r'nonce="(.+?)"', response.text))
    assert len(nonces) == 1
    assert f"'nonce-{nonces.pop()}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r'(src|href)="(https?:)?//', response.text)
    assert not re.search(r'\s(on\w+|style)="', response.text)
    assert "url(" not in response.text and "@import" not in response.text


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_hostile_instances_stay_text(make_client, path: str) -> None:
    hostile = '{"instances": [["</textarea></pre><script>alert(1)</script>", "\'\\" onload=x"]], "</script>": 1}'
    text = make_client(hostile).get(path).text
    assert "<script>alert" not in text
    assert text.count("</script>") == (path == "/")


def test_a_picture_route_has_a_place_to_draw(make_client) -> None:
    assert "<canvas" in make_client(json.dumps({"instances": [{"b64": PNG}]})).get("/").text
    assert "<canvas" not in make_client().get("/").text.split("<script")[0]


def test_openapi_says_what_the_test_instances_and_the_answer_to_them_were(make_client) -> None:
    answer = {"type": "object", "properties": {"predictions": {"type": "array", "items": {"type": "integer"}}}}
    document = make_client(shown=answer).get("/openapi.json").json
    route = document["paths"]["/a"]["post"]
    taken = Draft202012Validator(route["requestBody"]["content"]["application/json"]["schema"])
    given = Draft202012Validator(route["responses"]["200"]["content"]["application/json"]["schema"])
    assert taken.is_valid({"instances": [[2, "b"], [3, "c"]]})
    assert taken.is_valid({"payload": {"instances": []}})
    assert not taken.is_valid({"instances": "x"})
    assert given.is_valid({"payload": {"predictions": [1]}})
    assert not given.is_valid({"predictions": ["x"]})
    assert document["paths"]["/b/c"]["post"]["responses"]["200"]["content"]["application/json"]["schema"] == {}


def test_openapi_asks_for_a_token_where_the_route_does(make_client) -> None:
    paths = make_client().get("/openapi.json").json["paths"]
    assert paths["/a"]["post"]["security"] == [{"token": []}]
    assert "401" in paths["/a"]["post"]["responses"]
    assert "security" not in paths["/b/c"]["post"]


def test_docs_show_every_path_with_its_example(make_client) -> None:
    text = make_client().get("/docs").text
    for path in ("/a", "/b/c", "/livez", "/metrics"):
        assert f"<code>{path}</code>" in text
    assert "&#34;instances&#34;" in text or "\\u0022instances" in text or '"instances"' in text
    assert text.count("<code>/v2/models/{model}/infer</code>") == text.count("Open Inference</h2>") == 1
    assert "needs a token" in text
    assert "The model refuses the payload, and says why" in text
