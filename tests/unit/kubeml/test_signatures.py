"""Both spellings of a model's methods."""

import pytest

from kubeml.errors import KubeError
from kubeml.signatures import call_infer, call_init, call_on_batch


class Documented:
    def train(self, x, y, batch_index):
        return x, y, batch_index

    def init(self, model):
        model.append("documented")

    def infer(self, model, data):
        return model, data


class Released:
    def train(self, batch, batch_index):
        return (*batch, batch_index)

    def init(self):
        self.is_set = True

    def infer(self, data):
        return data


def test_train_is_called_as_it_is_written():
    assert call_on_batch(Documented().train, ["x", "y"], 3) == ("x", "y", 3)
    assert call_on_batch(Released().train, ["x", "y"], 3) == ("x", "y", 3)
    assert call_on_batch(lambda *all: all, ["x", "y"], 3) == ("x", "y", 3)


def test_init_and_infer_are_called_as_they_are_written():
    said, released = [], Released()
    call_init(Documented().init, said)
    call_init(released.init, said)
    assert said == ["documented"] and released.is_set
    assert call_infer(Documented().infer, "net", [1]) == ("net", [1])
    assert call_infer(released.infer, "net", [1]) == [1]


def test_another_signature_is_an_error_that_shows_it():
    with pytest.raises(KubeError, match=r"\(model\) takes neither \(x, y, batch_index\) nor"):
        call_on_batch(lambda model: 0, ["x", "y"], 0)
    with pytest.raises(KubeError, match="returns no pair"):
        call_on_batch(lambda x, y, i: 0, {"x": 1}, 0)
