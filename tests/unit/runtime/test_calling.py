"""How entry functions are called: with the message, or without where they take nothing."""

import functools

import pytest

from modelyard.runtime import calling
from modelyard.runtime.calling import take_message
from modelyard.runtime.worker.loading import load_functions


def decorate(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)

    return call


@decorate
def decorated(msg):
    return msg


@decorate
def decorated_without():
    return "nothing"


class Callable:
    def __call__(self, msg):
        return msg


def inject(function):
    @functools.wraps(function)
    def call(msg):
        return function(msg, "more")

    return call


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (lambda msg: msg, "m"),
        (lambda msg, more=1: msg, "m"),
        (lambda *args: args[0], "m"),
        (lambda: "nothing", "nothing"),
        (lambda *, more=1: more, 1),
        (lambda msg=None: msg, "m"),
        (len, 1),
        (decorated, "m"),
        (decorated_without, "nothing"),
        (inject(lambda msg, more: msg + more), "mmore"),
        (Callable(), "m"),
        (functools.partial(lambda first, msg: msg, "first"), "m"),
    ],
)
def test_a_function_gets_the_message_where_it_takes_one(function, answer):
    assert take_message(function, name="predict")("m") == answer


def test_what_needs_one_argument_is_called_as_it_is():
    assert take_message(decorated, name="predict") is decorated


@pytest.mark.parametrize("function", [lambda msg, more: 1, lambda msg, *, more: 1, lambda *, msg: 1])
def test_what_needs_more_than_the_message_is_refused_with_its_signature(function):
    with pytest.raises(TypeError, match=r"^a\.predict\(.*(more|msg)\) is called with one argument, the message"):
        take_message(function, name="a.predict")


def test_a_worker_calls_a_function_without_parameters_without(tmp_path, monkeypatch):
    (tmp_path / "entry_without.py").write_text("def predict():\n    return 42\n\ndef two(a, b): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_functions([("x", "entry_without", "predict")])["x"]("the message") == 42
    with pytest.raises(TypeError, match=r"entry_without\.two\(a, b\) is called with one argument"):
        load_functions([("x", "entry_without", "two")])


def test_it_is_written_for_older_pythons_too():
    import ast
    from pathlib import Path

    ast.parse(Path(calling.__file__).read_text(), feature_version=(3, 9))
