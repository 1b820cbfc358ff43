"""Answer."""


def classify(msg):
    """Return the payload."""
    return msg.payload
