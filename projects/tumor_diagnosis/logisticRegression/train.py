"""Train a logistic regression on the Wisconsin data."""

from sklearn.linear_model import LogisticRegression

from common_utils.tabular_training import save_trained
from tumor_diagnosis.common_utils.training import read_task

PARAMS = {"C": 1.0, "max_iter": 500}


def train(msg):
    """Train on the file that `$ref` names and save the model as `model_name`."""
    task = read_task(msg.payload)
    model = LogisticRegression(**PARAMS).fit(task.features, task.labels)
    probabilities = model.predict_proba(task.held_out_features)[:, 1]
    name = msg.payload.get("model_name", "tumor_lr")
    return save_trained(model, task, probabilities, name=name, params=PARAMS)
