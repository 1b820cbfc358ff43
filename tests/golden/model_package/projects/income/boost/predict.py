"""Answer."""


def predict(msg):
    """Return the payload."""
    return msg.payload
