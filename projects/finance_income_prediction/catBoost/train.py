"""Train gradient boosted trees on the Adult data, by CatBoost."""

from catboost import CatBoostClassifier

from common_utils.tabular_training import save_trained
from finance_income_prediction.common_utils.training import read_task

PARAMS = {"iterations": 500, "learning_rate": 0.1, "depth": 6, "random_seed": 0}


def train(msg):
    """Train on the file that `$ref` names and save the model as `model_name`."""
    task = read_task(msg.payload)
    model = CatBoostClassifier(**PARAMS, allow_writing_files=False, verbose=100)
    model.fit(task.features, task.labels)
    probabilities = model.predict_proba(task.held_out_features)[:, 1]
    name = msg.payload.get("model_name", "adult_income_cat")
    return save_trained(model, task, probabilities, name=name, params=PARAMS)
