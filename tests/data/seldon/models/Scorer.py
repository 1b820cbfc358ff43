"""Scores in, scores out, with everything that a class may say of itself."""

import numpy as np


class Scorer:
    def __init__(self, scale=1.0, offset=0, strict=False, label="none"):
        self.scale, self.offset, self.strict, self.label = scale, offset, strict, label

    def load(self):
        self.loaded = True

    def predict(self, X, features_names, meta=None):
        if self.strict and not self.loaded:
            raise RuntimeError("not loaded")
        if features_names:
            return {"names": features_names, "puid": (meta or {}).get("puid")}
        return np.asarray(X, dtype=float) * self.scale + self.offset

    def class_names(self):
        return np.array(["low", "high"])

    def tags(self):
        return {"label": self.label}

    def metrics(self):
        return [{"type": "GAUGE", "key": "scale", "value": self.scale, "tags": {"unit": "x"}}]

    def health_status(self):
        return [[1.0, 2.0]]

    def init_metadata(self):
        return {"name": "scorer", "platform": "numpy"}

    def send_feedback(self, features, feature_names, reward, truth, routing=None):
        return [reward, float(truth[0][0])]
