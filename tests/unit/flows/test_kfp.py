"""The components of a pipeline are told without kfp; that it compiles, and loads, where kfp is installed."""

import importlib.util

import pytest

from modelyard.commands.flow_kfp import describe_component, export_kfp
from modelyard.commands.flow_request import FlowRequest, prepare
from modelyard.errors import InputError

IMAGE = "registry.example.org/net-train@sha256:" + "a" * 64
IMAGES = {"net": IMAGE, "command": "registry.example.org/tools@sha256:" + "b" * 64}
FILES = {
    "projects/pictures/flow.yaml": """\
    steps:
      prep:
        run: train:prep
        params: [data]
        outputs: {index: index.csv}
        retries: 2
      train:
        run: train:fit
        params: [train]
        inputs: {index: prep.index}
        outputs: {model: model}
        search: {over: [train.lr], metric: acc}
      count:
        command: wc -l {inputs.index}
        inputs: {index: prep.index}
    """,
    "projects/pictures/config-default.yaml": "data: {seed: 1}\ntrain: {lr: [0.1, 0.2]}\n",
    "projects/pictures/net/.s2i/environment": "TRAIN_MODULE=pictures.net.train\nROUTES=n:pictures.net.predict:run\n",
    "projects/pictures/net/train.py": "def train(msg): ...\ndef prep(msg): ...\ndef fit(msg): ...\n",
    "projects/pictures/net/predict.py": "def run(msg): ...\n",
    "projects/pictures/net/test/test_instances.json": '{"instances": [1]}\n',
}


@pytest.fixture
def prepared(make_workspace):
    workspace = make_workspace(FILES)

    def make(*sets):
        return prepare(FlowRequest(workspace=workspace, project=workspace.projects_root / "pictures", sets=sets))

    return make


def test_a_function_is_a_component_of_its_image(prepared):
    made = prepared("train.lr=0.1")
    spec = describe_component(made.flow.steps["train"], made, IMAGES)
    container = spec["implementation"]["container"]
    assert container["image"] == IMAGE
    assert container["args"] == ["index", {"inputPath": "index"}, "--", "model", {"outputPath": "model"}]
    assert container["env"]["TRAIN_MODULE"] == "pictures.net.train"
    assert '"params": {"train": {"lr": 0.1}}' in container["env"]["PAYLOAD"]


@pytest.mark.parametrize(
    ("sets", "images", "said"),
    [
        (["train.lr=0.1"], {"net": IMAGE}, "step count: no image for command"),
        (["train.lr=0.1"], {**IMAGES, "net": "net:latest"}, "--image net=net:latest: no digest"),
        ([], IMAGES, "step train searches"),
    ],
)
def test_what_a_pipeline_can_not_say_is_an_error(prepared, sets, images, said):
    made = prepared(*sets)
    with pytest.raises(InputError) as raised:
        for step in made.flow.steps.values():
            describe_component(step, made, images)
    assert said in str(raised.value)


@pytest.mark.skipif(
    importlib.util.find_spec("kfp") is None,
    reason="kfp is not installed here: it takes an environment of its own, with modelyard[kfp]",
)
@pytest.mark.filterwarnings("ignore")
def test_it_compiles_and_loads(prepared, tmp_path):
    assert export_kfp(prepared("train.lr=0.1"), IMAGES, tmp_path / "pipeline.yaml") == 3
    text = (tmp_path / "pipeline.yaml").read_text()
    assert f"image: {IMAGE}" in text
    assert "producerTask: prep" in text
