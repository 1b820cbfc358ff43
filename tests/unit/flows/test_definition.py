import json
from pathlib import Path

import pytest

from modelyard.errors import InputError, WorkspaceError
from modelyard.flows.definition import read_flow
from tests.conftest import REPOSITORY


def test_steps_come_after_those_that_they_need(make_flow):
    flow = make_flow()
    assert list(flow.steps) == ["prep", "train", "count"]
    assert flow.followers("prep") == {"train", "count"}


def test_what_a_step_says_is_read(make_flow):
    prep = make_flow().steps["prep"]
    assert (prep.retries, prep.timeout, prep.needs, prep.outputs) == (2, 90.0, (), {"index": "index.csv"})
    assert prep.inputs["table"].path == "data/table.csv"


def test_no_flow_is_an_error_with_a_way_out(tmp_path):
    with pytest.raises(WorkspaceError, match=r"flow\.yaml: no such file"):
        read_flow(tmp_path)


STEP = "steps:\n  prep: {run: 'prep:prep', outputs: {index: index.csv}}\n"


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        ("stps: {}\n", "flow.yaml:1: the file has no 'stps'; did you mean steps?"),
        ("steps: {}\n", "flow.yaml:1: steps: {} has less than 1 property"),
        (f"{STEP}  b: {{run: 'a:b', retires: 1}}\n", "flow.yaml:3: steps.b has no 'retires'; did you mean retries?"),
        (f"{STEP}  b: {{run: nothing}}\n", "flow.yaml:3: steps.b.run is 'nothing', which is not: module:function"),
        (f"{STEP}  b: {{run: 'a:b', retries: -1}}\n", "flow.yaml:3: steps.b.retries: -1 is less than the minimum of 0"),
        (f"{STEP}  b: {{run: 'a:b', timeout: 5d}}\n", "flow.yaml:3: steps.b.timeout is '5d', which is not: Seconds"),
        (f"{STEP}  b: {{}}\n", "flow.yaml:3: step b has neither run nor command"),
        (f"{STEP}  b: {{run: 'a:b', command: ls}}\n", "flow.yaml:3: step b has both run and command"),
        (f"{STEP}  b: {{command: 'ls \"'}}\n", "is no command line (No closing quotation)"),
        (f"{STEP}  b: {{command: ls, search: {{over: [a.b], metric: m}}}}\n", "a command returns no metric"),
        (f"{STEP}  b: {{command: 'cat {{inputs.indx}}', inputs: {{index: prep.index}}}}\n", "did you mean index?"),
        (f"{STEP}  b: {{run: 'a:b', inputs: {{x: prep.indx}}}}\n", "prep makes no 'indx'; did you mean index?"),
        (f"{STEP}  b: {{run: 'a:b', inputs: {{x: prp.index}}}}\n", "flow.yaml:3: 'prp.index' is neither an output"),
        (f"{STEP}  b: {{run: 'a:b', inputs: {{x: ../secret}}}}\n", "'../secret' is no path in the project"),
        (f"{STEP}  b: {{run: 'a:b', inputs: {{x: /etc/passwd}}}}\n", "'/etc/passwd' is no path in the project"),
        (f"{STEP}  b: {{run: 'a:b', outputs: {{x: ../x}}}}\n", "steps.b.outputs.x"),
        (f"{STEP}  b: {{run: 'a:b', outputs: {{x: f, y: f}}}}\n", "b has two outputs called 'f'"),
        (f"{STEP}  b: {{run: 'a:b', publish: {{x: models}}}}\n", "b has no output 'x'"),
        (f"{STEP}  steps: {{run: 'a:b'}}\n", "a step can't be called steps"),
        (f"{STEP}  b: {{run: 'a:b', search: {{over: [], metric: m}}}}\n", "steps.b.search.over"),
        (f"{STEP}  b: {{run: 'a:b', search: {{over: [a.b], metric: m, method: gird}}}}\n", "did you mean grid?"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_right_word(make_flow, flow, said):
    with pytest.raises(InputError) as raised:
        make_flow(flow)
    assert said in str(raised.value)


def test_a_circle_of_steps_is_shown(make_flow):
    flow = """\
    steps:
      a: {run: 'm:a', inputs: {x: c.o}, outputs: {o: o}}
      b: {run: 'm:b', inputs: {x: a.o}, outputs: {o: o}}
      c: {run: 'm:c', inputs: {x: b.o}, outputs: {o: o}}
    """
    with pytest.raises(InputError, match=r"flow.yaml:\d: steps need each other in a circle: .* -> .* -> .* -> "):
        make_flow(flow)


def test_two_steps_that_publish_the_same_are_an_error(make_flow):
    flow = """\
    steps:
      a: {run: 'm:a', outputs: {o: rf}, publish: {o: models}}
      b: {run: 'm:b', outputs: {p: rf}, publish: {p: models/}}
    """
    with pytest.raises(InputError, match=r"b\.p and a\.o are both published as models"):
        make_flow(flow)


@pytest.mark.parametrize("name", ["flow.schema.json", "config.schema.json"])
def test_the_schemas_of_the_docs_are_those_that_the_tool_checks_by(name):
    own = REPOSITORY / "src/modelyard/flows" / name
    assert (REPOSITORY / "docs/reference/schemas" / name).read_text() == own.read_text()


def test_every_key_of_a_step_is_in_the_reference():
    schema = json.loads(Path(REPOSITORY, "src/modelyard/flows/flow.schema.json").read_text())
    page = Path(REPOSITORY, "docs/reference/flows.md").read_text()
    assert [key for key in schema["$defs"]["step"]["properties"] if f"| `{key}` |" not in page] == []
    assert [key for key in schema["$defs"]["search"]["properties"] if f"  {key}:" not in page] == []
