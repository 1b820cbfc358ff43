"""scikit-learn: skops, which loads no type that isn't trusted; joblib (a pickle) only when asked for."""

from io import BytesIO
from typing import Any

from utils.codecs.base import DecodeOptions, is_from
from utils.codecs.references import check_references
from utils.errors import ModelBinaryError


class SkopsCodec:
    """Any estimator or pipeline, as a zip of JSON and arrays."""

    format = "skops"
    suffix = "skops"
    framework = "scikit-learn"
    package = "sklearn"

    def can_encode(self, model: Any) -> bool:
        """Tell whether `model` is an estimator or pipeline."""
        return is_from(self.package, model)

    def encode(self, model: Any) -> bytes:
        """Return the model as a skops file."""
        from skops.io import dumps

        check_references(model)
        return dumps(model)

    def decode(self, data: bytes, options: DecodeOptions) -> Any:
        """Load a skops file; raise ModelBinaryError that lists the types nobody has trusted."""
        from skops.io import get_untrusted_types, loads

        unknown = get_untrusted_types(data=data)
        refused = sorted(set(unknown) - set(options.trusted))
        if refused:
            raise ModelBinaryError(
                f"the file holds types that are not trusted: {', '.join(refused)}",
                hint=f"where you know them: load_model(..., trusted={refused!r})",
            )
        return loads(data, trusted=unknown)


class JoblibCodec:
    """Any estimator, as a pickle: for what skops can't hold. Loading it runs code, so it needs allow_pickle=True."""

    format = "joblib"
    suffix = "joblib"
    framework = "scikit-learn"
    package = "sklearn"

    def can_encode(self, model: Any) -> bool:
        """Tell whether `model` is an estimator or pipeline."""
        return is_from(self.package, model)

    def encode(self, model: Any) -> bytes:
        """Return the model as a joblib file."""
        import joblib

        check_references(model)
        buffer = BytesIO()
        joblib.dump(model, buffer)
        return buffer.getvalue()

    def decode(self, data: bytes, options: DecodeOptions) -> Any:
        """Unpickle a joblib file where the caller allows it."""
        if not options.allow_pickle:
            raise ModelBinaryError(
                "a joblib file is a pickle, which runs code while it loads",
                hint="where you made the file yourself: load_model(..., allow_pickle=True); better: save it as skops",
            )
        import joblib

        return joblib.load(BytesIO(data))
