"""CatBoost: its own cbm."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from utils.codecs.base import DecodeOptions, find_class, is_from

CLASSES = ("CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker", "CatBoost")


class CatBoostCodec:
    """A CatBoost, CatBoostClassifier, ...; `decode` returns the class that was encoded."""

    format = "cbm"
    suffix = "cbm"
    framework = "catboost"
    package = "catboost"

    def can_encode(self, model: Any) -> bool:
        """Tell whether `model` is CatBoost's."""
        return is_from(self.package, model)

    def encode(self, model: Any) -> bytes:
        """Return the model as a cbm file (CatBoost writes files only), after a second look at what was written."""
        import catboost

        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.cbm"
            model.save_model(str(path), format="cbm")
            data = path.read_bytes()
        catboost.CatBoost().load_model(blob=data)
        return data

    def decode(self, data: bytes, options: DecodeOptions) -> Any:
        """Return the model, of the class that the manifest names."""
        import catboost

        model = find_class(catboost, options.class_name, accepted=CLASSES)()
        return model.load_model(blob=data)
