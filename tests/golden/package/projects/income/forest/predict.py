"""Answer."""

from .features import NAMES  # noqa: F401


def predict_forest(msg):
    """Return the payload."""
    return msg.payload
