"""Train a multi-layer perceptron on the Wisconsin data."""

from sklearn.neural_network import MLPClassifier

from common_utils.tabular_training import save_trained
from tumor_diagnosis.common_utils.training import read_task

PARAMS = {"hidden_layer_sizes": [32, 16], "alpha": 0.01, "max_iter": 1000, "random_state": 0}


def train(msg):
    """Train on the file that `$ref` names and save the model as `model_name`."""
    task = read_task(msg.payload)
    model = MLPClassifier(**PARAMS).fit(task.features, task.labels)
    probabilities = model.predict_proba(task.held_out_features)[:, 1]
    name = msg.payload.get("model_name", "tumor_mlp")
    return save_trained(model, task, probabilities, name=name, params=PARAMS)
