"""A transformer, a router and a combiner in one."""

import numpy as np


class NotFoundError(Exception):
    status_code = 404
    reason = "NO_SUCH_BRANCH"


class Graph:
    def transform_input(self, X, names):
        return np.asarray(X) + 1

    def transform_output_raw(self, msg):
        return {"strData": "raw", "status": {"code": 202}}

    def route(self, X, names):
        if X[0][0] < 0:
            raise NotFoundError("no branch for negative numbers")
        return int(X[0][0])

    def aggregate(self, Xs, names):
        return sum(Xs)

    def predict(self, X, names):
        return X.decode("latin-1") if isinstance(X, bytes) else 0.5
