"""Train a support vector machine on the Wisconsin data."""

from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC

from common_utils.tabular_training import save_trained
from tumor_diagnosis.common_utils.training import read_task

PARAMS = {"C": 2.0, "kernel": "rbf", "gamma": "scale"}


def train(msg):
    """Train on the file that `$ref` names and save the model as `model_name`."""
    task = read_task(msg.payload)
    model = CalibratedClassifierCV(SVC(**PARAMS), ensemble=False).fit(task.features, task.labels)
    probabilities = model.predict_proba(task.held_out_features)[:, 1]
    name = msg.payload.get("model_name", "tumor_svm")
    return save_trained(model, task, probabilities, name=name, params=PARAMS)
