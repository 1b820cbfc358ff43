"""Answer."""

from .features import NAMES  # noqa: F401


def predict(msg):
    """Return the payload."""
    return msg.payload
