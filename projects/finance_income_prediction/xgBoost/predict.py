"""Answer by XGBoost whether a person earns more than 50,000 dollars a year."""

import os

from common_utils.feature_encoder import FeatureEncoder
from common_utils.tabular_serving import as_answer, instances_of
from finance_income_prediction.common_utils.income import EXAMPLE, LABELS
from utils.model_binary import load_model

MODEL_NAME = os.environ.get("MODElNAME") or os.environ.get("MODEL_NAME") or "adult_income_xgb"  # noqa: SIM112

_model = load_model(MODEL_NAME)
_model.model.set_param({"nthread": 1})  # one request has few rows: threads would cost more than they save
_encoder = FeatureEncoder.from_dict(_model.attributes["encoder"])


def predict_xgboost(msg):
    """Return a label and the probability of >50K for each of `instances`."""
    features = _encoder.transform(instances_of(msg.payload, example=EXAMPLE))
    return as_answer(_model.model.inplace_predict(features), LABELS)
