"""Train gradient boosted trees on the Adult data, by XGBoost."""

import xgboost

from common_utils.tabular_training import save_trained
from finance_income_prediction.common_utils.training import read_task

PARAMS = {
    "objective": "binary:logistic",
    "eta": 0.1,
    "max_depth": 6,
    "subsample": 0.9,
    "colsample_bytree": 0.6,
    "seed": 0,
}
ROUNDS = 250


def train(msg):
    """Train on the file that `$ref` names and save the model as `model_name`."""
    task = read_task(msg.payload)
    model = xgboost.train(PARAMS, xgboost.DMatrix(task.features, task.labels), num_boost_round=ROUNDS)
    probabilities = model.inplace_predict(task.held_out_features)
    name = msg.payload.get("model_name", "adult_income_xgb")
    return save_trained(model, task, probabilities, name=name, params={**PARAMS, "rounds": ROUNDS})
