"""Train a random forest on the Adult data."""

from sklearn.ensemble import RandomForestClassifier

from common_utils.tabular_training import save_trained
from finance_income_prediction.common_utils.training import read_task

PARAMS = {"n_estimators": 40, "max_depth": 16, "min_samples_leaf": 3, "max_features": 0.2, "random_state": 0}


def train(msg):
    """Train on the file that `$ref` names and save the model as `model_name`."""
    task = read_task(msg.payload)
    model = RandomForestClassifier(**PARAMS, n_jobs=-1).fit(task.features, task.labels)
    model.set_params(n_jobs=1)  # one request has few rows: threads would cost more than they save
    probabilities = model.predict_proba(task.held_out_features)[:, 1]
    name = msg.payload.get("model_name", "adult_income_rf")
    return save_trained(model, task, probabilities, name=name, params=PARAMS)
