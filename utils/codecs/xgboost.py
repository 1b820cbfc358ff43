"""XGBoost: its own UBJ (default) or JSON, for Booster and the scikit-learn style classes alike."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from utils.codecs.base import DecodeOptions, find_class, is_from

CLASSES = ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor", "Booster")


class XGBoostCodec:
    """A Booster, XGBClassifier, XGBRegressor, ...; `decode` returns the class that was encoded."""

    framework = "xgboost"
    package = "xgboost"

    def __init__(self, format: str) -> None:
        self.format = format
        self.suffix = format

    def can_encode(self, model: Any) -> bool:
        """Tell whether `model` is XGBoost's."""
        return is_from(self.package, model)

    def encode(self, model: Any) -> bytes:
        """Return the model as XGBoost's own file.

        XGBoost writes files only, and doesn't notice a disk that fills up as it closes one: hence the second look.
        """
        import xgboost

        with TemporaryDirectory() as folder:
            path = Path(folder) / f"model.{self.suffix}"
            model.save_model(path)
            data = path.read_bytes()
        xgboost.Booster(model_file=bytearray(data))
        return data

    def decode(self, data: bytes, options: DecodeOptions) -> Any:
        """Return the model, of the class that the manifest names."""
        import xgboost

        model = find_class(xgboost, options.class_name, accepted=CLASSES)()
        model.load_model(bytearray(data))
        return model
