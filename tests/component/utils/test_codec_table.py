import pytest
from sklearn.linear_model import LogisticRegression

from utils.codecs.base import find_class
from utils.codecs.table import codec_for_format, codec_for_model
from utils.errors import ModelBinaryError


def made_in(package: str, *bases: type, **attributes: object) -> object:
    return type("Model", bases, {"__module__": f"{package}.core", **attributes})()


@pytest.mark.parametrize(
    ("model", "format"),
    [
        (LogisticRegression(), "skops"),
        (made_in("xgboost"), "ubj"),
        (made_in("xgboost", LogisticRegression), "ubj"),
        (made_in("catboost"), "cbm"),
        (made_in("torch", state_dict=dict), "torch"),
        ({"weight": made_in("torch", untyped_storage=None)}, "torch"),
        ({"model": {"weight": made_in("torch", untyped_storage=None)}, "step": 3}, "torch"),
    ],
)
def test_every_framework_has_its_default_format(model, format):
    assert codec_for_model(model).format == format


@pytest.mark.parametrize("format", ["skops", "joblib"])
def test_a_format_can_be_asked_for(format):
    assert codec_for_model(LogisticRegression(), format=format).format == format


def test_a_format_of_another_framework_is_refused_with_those_that_fit():
    with pytest.raises(ModelBinaryError, match=r"LogisticRegression can't be saved as 'cbm'") as caught:
        codec_for_model(LogisticRegression(), format="cbm")
    assert caught.value.hint == "use format='skops' or 'joblib'"


@pytest.mark.parametrize("model", [object(), {"a": 1}, None, "text"])
def test_what_no_framework_made_is_refused(model):
    with pytest.raises(ModelBinaryError, match="no codec for a"):
        codec_for_model(model)


def test_an_unknown_format_lists_the_known_ones():
    with pytest.raises(ModelBinaryError) as caught:
        codec_for_format("pickle")
    assert "skops, joblib" in caught.value.hint


def test_only_classes_that_a_codec_names_are_looked_up():
    import json

    with pytest.raises(ModelBinaryError, match="class 'dumps' is none that json models"):
        find_class(json, "dumps", accepted=("loads",))
    assert find_class(json, "loads", accepted=("loads",)) is json.loads
