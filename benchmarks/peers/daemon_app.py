"""The same functions behind our daemon."""

from adult import predict


def echo(msg):
    """Return what was sent."""
    return msg.payload


def lr(msg):
    """Answer by logistic regression."""
    return {"predictions": predict("lr", msg.payload["instances"])}


def rf(msg):
    """Answer by random forest."""
    return {"predictions": predict("rf", msg.payload["instances"])}


def cat(msg):
    """Answer by gradient boosting with CatBoost."""
    return {"predictions": predict("cat", msg.payload["instances"])}


def xgb(msg):
    """Answer by gradient boosting."""
    return {"predictions": predict("xgb", msg.payload["instances"])}
