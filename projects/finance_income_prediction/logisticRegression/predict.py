"""Answer by logistic regression whether a person earns more than 50,000 dollars a year."""

import os

from common_utils.feature_encoder import FeatureEncoder
from common_utils.tabular_serving import as_answer, instances_of
from finance_income_prediction.common_utils.income import EXAMPLE, LABELS
from utils.model_binary import load_model

MODEL_NAME = os.environ.get("MODElNAME") or os.environ.get("MODEL_NAME") or "adult_income_lr"  # noqa: SIM112

_model = load_model(MODEL_NAME)
_encoder = FeatureEncoder.from_dict(_model.attributes["encoder"])


def predict_logistic_regression(msg):
    """Return a label and the probability of >50K for each of `instances`."""
    features = _encoder.transform(instances_of(msg.payload, example=EXAMPLE))
    return as_answer(_model.model.predict_proba(features)[:, 1], LABELS)
