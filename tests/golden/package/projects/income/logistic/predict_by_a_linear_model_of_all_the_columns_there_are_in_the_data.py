"""Answer."""


def predict_logistic_regression(msg):
    """Return the payload."""
    return msg.payload
