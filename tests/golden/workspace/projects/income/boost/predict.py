"""Answer."""


def predict_boost(msg):
    """Return the payload."""
    return msg.payload
