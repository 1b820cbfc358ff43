"""Answer by multi-layer perceptron whether a tumor is malignant."""

import os

from common_utils.feature_encoder import FeatureEncoder
from common_utils.tabular_serving import as_answer, instances_of
from tumor_diagnosis.common_utils.tumor import EXAMPLE, LABELS
from utils.model_binary import load_model

MODEL_NAME = os.environ.get("MODElNAME") or os.environ.get("MODEL_NAME") or "tumor_mlp"  # noqa: SIM112

# What a trained net consists of and skops doesn't trust by itself: the state of its optimizer.
TRUSTED = ["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"]

_model = load_model(MODEL_NAME, trusted=TRUSTED)
_encoder = FeatureEncoder.from_dict(_model.attributes["encoder"])


def predict(msg):
    """Return a label and the probability of a malignant tumor for each of `instances`."""
    features = _encoder.transform(instances_of(msg.payload, example=EXAMPLE))
    return as_answer(_model.model.predict_proba(features)[:, 1], LABELS)
