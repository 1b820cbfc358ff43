"""Answer by random forest whether a person earns more than 50,000 dollars a year."""

import os

from common_utils.feature_encoder import FeatureEncoder
from common_utils.tabular_serving import as_answer, instances_of
from finance_income_prediction.common_utils.income import EXAMPLE, LABELS
from utils.model_binary import load_model

MODEL_NAME = os.environ.get("MODElNAME") or os.environ.get("MODEL_NAME") or "adult_income_rf"  # noqa: SIM112

# What a forest consists of and skops doesn't trust by itself: arrays of nodes.
TRUSTED = ["sklearn.tree._tree.Tree"]

_model = load_model(MODEL_NAME, trusted=TRUSTED)
_encoder = FeatureEncoder.from_dict(_model.attributes["encoder"])


def predict_random_forest(msg):
    """Return a label and the probability of >50K for each of `instances`."""
    features = _encoder.transform(instances_of(msg.payload, example=EXAMPLE))
    return as_answer(_model.model.predict_proba(features)[:, 1], LABELS)
