"""Train a logistic regression on the Wisconsin data."""

from sklearn.linear_model import LogisticRegression

from tumor_diagnosis.common_utils.training import read_task, save_trained

PARAMS = {"C": 1.0, "max_iter": 500}


def train(msg):
    """Train on the file that `$ref` names and save the model as `model_name`."""
    task = read_task(msg.payload)
    model = LogisticRegression(**PARAMS).fit(task.features, task.labels)
    return save_trained(model, task, name=msg.payload.get("model_name", "tumor_lr"), params=PARAMS)
