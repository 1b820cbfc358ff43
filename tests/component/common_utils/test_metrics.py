import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import assume, given
from hypothesis import strategies as st

from common_utils.metrics import accuracy, confusion, evaluate_binary, log_loss, roc_auc

# Few distinct scores, so that ties are common.
SCORED = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0])), min_size=2)


@given(SCORED)
def test_the_area_under_the_curve_is_that_of_scikit_learn(pairs):
    labels, scores = map(list, zip(*pairs, strict=True))
    assume(len(set(labels)) == 2)
    assert roc_auc(labels, scores) == pytest.approx(reference.roc_auc_score(labels, scores))


@given(SCORED)
def test_two_class_metrics_are_those_of_scikit_learn(pairs):
    labels, scores = map(np.array, zip(*pairs, strict=True))
    predictions = scores >= 0.5
    assert accuracy(labels, predictions) == pytest.approx(reference.accuracy_score(labels, predictions))
    assert log_loss(labels, scores) == pytest.approx(reference.log_loss(labels, scores, labels=[0, 1]))
    expected = reference.confusion_matrix(labels, predictions, labels=[0, 1]).tolist()
    assert confusion(labels, predictions, classes=2) == expected


def test_metrics_of_many_classes_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 200)
    probabilities = generator.dirichlet(np.ones(4), 200)
    predictions = probabilities.argmax(axis=1)
    assert accuracy(labels, predictions) == pytest.approx(reference.accuracy_score(labels, predictions))
    assert log_loss(labels, probabilities) == pytest.approx(reference.log_loss(labels, probabilities))
    assert confusion(labels, predictions) == reference.confusion_matrix(labels, predictions).tolist()


def test_the_area_needs_both_classes():
    with pytest.raises(ValueError, match="both classes"):
        roc_auc([1, 1], [0.1, 0.2])


@pytest.mark.parametrize("metric", [accuracy, roc_auc, log_loss, confusion])
@pytest.mark.parametrize(("labels", "values"), [([0, 1], [0.5]), ([], [])])
def test_what_does_not_pair_up_is_refused(metric, labels, values):
    with pytest.raises(ValueError, match="expected as many, and at least one"):
        metric(labels, values)


def test_a_report_has_plain_values_that_json_can_hold():
    assert evaluate_binary([0, 1, 1, 0], np.array([0.2, 0.9, 0.4, 0.1])) == {
        "accuracy": 0.75,
        "roc_auc": 1.0,
        "log_loss": 0.3375,
        "confusion": [[2, 0], [1, 1]],
        "rows": 4,
    }
