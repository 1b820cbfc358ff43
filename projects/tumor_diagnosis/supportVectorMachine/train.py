"""Train a support vector machine on the Wisconsin data."""

from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC

from tumor_diagnosis.common_utils.training import read_task, save_trained

PARAMS = {"C": 2.0, "kernel": "rbf", "gamma": "scale"}


def train(msg):
    """Train on the file that `$ref` names and save the model as `model_name`."""
    task = read_task(msg.payload)
    model = CalibratedClassifierCV(SVC(**PARAMS), ensemble=False).fit(task.features, task.labels)
    return save_trained(model, task, name=msg.payload.get("model_name", "tumor_svm"), params=PARAMS)
