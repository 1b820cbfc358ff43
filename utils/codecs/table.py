"""Every codec there is, and which of them a model or a format belongs to."""

from typing import Any

from utils.codecs.base import Codec
from utils.codecs.catboost import CatBoostCodec
from utils.codecs.scikit_learn import JoblibCodec, SkopsCodec
from utils.codecs.torch import SafetensorsCodec, TorchCodec
from utils.codecs.xgboost import XGBoostCodec
from utils.errors import ModelBinaryError

# The first that can encode a model is its default. XGBoost's and CatBoost's classes may derive from scikit-learn's,
# so scikit-learn comes last; joblib comes after skops, so it is never a default.
CODECS: tuple[Codec, ...] = (
    XGBoostCodec("ubj"),
    XGBoostCodec("json"),
    CatBoostCodec(),
    TorchCodec(),
    SafetensorsCodec(),
    SkopsCodec(),
    JoblibCodec(),
)
SUFFIXES = tuple(codec.suffix for codec in CODECS)


def codec_for_model(model: Any, *, format: str | None = None) -> Codec:
    """Return the codec of `format`, else the default one of the model's framework; raise where it can't encode it."""
    fitting = [codec for codec in CODECS if codec.can_encode(model)]
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if not fitting:
        raise ModelBinaryError(
            f"no codec for a {kind}", hint="there are codecs for scikit-learn, XGBoost, CatBoost and torch models"
        )
    if format is None:
        return fitting[0]
    for codec in fitting:
        if codec.format == format:
            return codec
    raise ModelBinaryError(
        f"a {kind} can't be saved as {format!r}", hint=f"use format={' or '.join(repr(c.format) for c in fitting)}"
    )


def codec_for_format(format: str) -> Codec:
    """Return the codec that decodes `format`, as a manifest names it."""
    for codec in CODECS:
        if codec.format == format:
            return codec
    raise ModelBinaryError(
        f"unknown format {format!r}", hint=f"known formats: {', '.join(codec.format for codec in CODECS)}"
    )
