"""Answer."""


def predict_forest(msg):
    """Return the payload."""
    return msg.payload
