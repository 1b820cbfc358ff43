import json

import pytest

from modelyard.errors import InputError
from modelyard.flows.config import read_config
from tests.unit.flows.conftest import FLOW


class TestLayers:
    def test_the_users_file_is_over_the_default_and_set_over_both(self, make_flow):
        flow = make_flow(files={"config.yaml": "train:\n  epochs: 5\n  lr: [0.3]\n"})
        config = read_config(flow, sets=["train.lr=0.5", "data.name=dogs"])
        assert config.values["train"] == {"lr": [0.5], "epochs": 5, "fast": False}
        assert config.get("data.name") == "dogs"
        assert config.where("train.lr") == "--set train.lr=0.5"
        assert config.where("train.epochs").endswith("config.yaml:2")

    def test_a_step_gets_what_it_reads(self, make_flow):
        config = read_config(make_flow())
        assert config.pick(["data.train_pct", "train"]) == {
            "data": {"train_pct": 0.6},
            "train": {"lr": [0.1, 0.2], "epochs": 3, "fast": False},
        }

    def test_a_whole_number_stands_for_a_number(self, make_flow):
        value = read_config(make_flow(), sets=["data.train_pct=1", "data.val_pct=0"]).get("data.train_pct")
        assert (value, type(value)) == (1.0, float)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("trian:\n  epochs: 1\n", "config.yaml:2: there is no group 'trian'; did you mean train?"),
        ("train:\n  epoch: 1\n", "config.yaml:2: train has no 'epoch'; did you mean epochs?"),
        ("train:\n  epochs: many\n", "config.yaml:2: train.epochs is 'many', a text; its default is a whole number: 3"),
        ("train:\n  epochs: 1.5\n", "train.epochs is 1.5, a number"),
        ("train:\n  epochs: true\n", "train.epochs is True, true or false"),
        ("train:\n  lr: [a]\n", "train.lr is ['a'], a list"),
        ("train:\n  fast: no\n", "train.fast is 'no', a text"),
        ("epochs: 3\n", "config.yaml:1: epochs: 3 is not of type"),
        ("train:\n  lr: {a: 1}\n", "config.yaml:2: train.lr"),
        ("data:\n  name: AKIAIOSFODNN7EXAMPLE\n", "config.yaml:2: data.name holds a secret"),
        ("data:\n  aws_secret_access_key: abc\n", "config.yaml:2: data.aws_secret_access_key holds a secret"),
        ("data:\n  name: s3://me:secret@host/x\n", "data.name holds a secret"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_right_word(make_flow, user, said):
    with pytest.raises(InputError) as raised:
        read_config(make_flow(files={"config.yaml": user}))
    assert said in str(raised.value)


def test_a_secret_is_not_shown(make_flow):
    with pytest.raises(InputError) as raised:
        read_config(make_flow(), sets=["data.name=AKIAIOSFODNN7EXAMPLE"])
    assert "AKIA" not in str(raised.value)
    assert "environment: [AWS_*]" in str(raised.value)


@pytest.mark.parametrize("text", ["train.lr", "lr=1", "train.=1", ".lr=1", "=1", "train.lr=[1", "train.lr={a: 1}"])
def test_a_set_of_another_form_is_an_error(make_flow, text):
    with pytest.raises(InputError, match="--set"):
        read_config(make_flow(), sets=[text])


class TestSums:
    FLOW = FLOW + "sums:\n- {of: [data.train_pct, data.val_pct], is: 1}\n"

    def test_numbers_that_add_up(self, make_flow):
        read_config(make_flow(self.FLOW))

    def test_numbers_that_do_not(self, make_flow):
        with pytest.raises(InputError, match=r"config-default.yaml:2: data.train_pct 0.6 \+ data.val_pct 0.5 is 1.1"):
            read_config(make_flow(self.FLOW), sets=["data.val_pct=0.5"])

    def test_tenths_add_up_to_one(self, make_flow):
        read_config(make_flow(self.FLOW), sets=["data.train_pct=0.7", "data.val_pct=0.3"])

    def test_a_parameter_that_is_not_there(self, make_flow):
        flow = FLOW + "sums:\n- {of: [data.trian_pct], is: 1}\n"
        with pytest.raises(InputError, match=r"no parameter 'data.trian_pct'; did you mean data.train_pct\?"):
            read_config(make_flow(flow))


def test_a_parameter_that_a_step_reads_must_be_there(make_flow):
    with pytest.raises(InputError, match=r"flow.yaml:4: there is no group of parameters 'train'"):
        read_config(make_flow(config="data:\n  train_pct: 0.6\n"))


def test_the_projects_own_schema_says_what_values_may_be(make_flow):
    schema = {"properties": {"train": {"properties": {"lr": {"minItems": 1}, "epochs": {"minimum": 1}}}}}
    flow = make_flow(files={"config.schema.json": json.dumps(schema), "config.yaml": "train:\n  epochs: 0\n"})
    with pytest.raises(InputError, match=r"config.yaml:2: train.epochs: 0 is less than the minimum of 1"):
        read_config(flow)
    with pytest.raises(InputError, match=r"--set train.lr=\[\]: train.lr: \[\] has less than 1 item"):
        read_config(flow, sets=["train.lr=[]", "train.epochs=1"])
