"""What a training is asked for."""

import json

import pytest

from kubeml.errors import KubeError
from kubeml.options import Options


def test_the_payload_wins_over_the_environment():
    environ = {"PAYLOAD": json.dumps({"k": 16, "lr": "0.5", "model_name": "m"}), "K": "4", "EPOCHS": "3", "STATIC": "1"}
    options = Options.read(environ)
    assert (options.k, options.lr, options.epochs, options.static, options.model_name) == (16, 0.5, 3, True, "m")
    assert Options.read({}) == Options()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("parallelism", 0, "1 or more"),
        ("k", 0, "-1 for once an epoch"),
        ("k", -2, "-1 for once an epoch"),
        ("epochs", "many", "a whole number"),
        ("batch", 1.5, "a whole number"),
        ("batch", True, "a whole number"),
        ("lr", 0, "a number above 0"),
        ("lr", "nan", "a number above 0"),
        ("lr", float("inf"), "a number above 0"),
        ("goal_accuracy", 101, "as validate returns it"),
        ("static", "perhaps", "yes or no"),
        ("sync", "redis", "average or ddp"),
        ("average", "sparse", "weighted or plain"),
        ("seed", -1, "0 or more"),
        ("outer_momentum", 1, "below 1"),
    ],
)
def test_what_is_no_option_is_named_with_its_value(key, value, said):
    with pytest.raises(KubeError) as caught:
        Options.read({"PAYLOAD": json.dumps({key: value})})
    assert said in str(caught.value) and key in str(caught.value)


def test_warm_up_averages_after_every_step():
    options = Options(k=8, warm_up=2)
    assert [options.k_in(epoch) for epoch in range(4)] == [1, 1, 8, 8]
