"""What a codec is. Frameworks are imported inside `encode` and `decode`: a predict image has only its own."""

from dataclasses import dataclass
from typing import Any, Protocol

from utils.errors import ModelBinaryError


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """What the caller of load_model allows and provides, and what the manifest says of the model."""

    class_name: str = ""
    """The class that was encoded, for formats that don't hold it. A codec knows which names it accepts."""
    allow_pickle: bool = False
    """Decode formats that run code while they load (joblib). Only for files that you made yourself."""
    trusted: tuple[str, ...] = ()
    """Full names of types that a skops file may hold beside those skops itself trusts."""
    into: Any = None
    """A torch module (or optimizer) that takes up the decoded state_dict."""


class Codec(Protocol):
    """Turns models of one framework into bytes of one format, and back."""

    format: str
    """The format's name, as manifests and `save_model(format=...)` have it."""
    suffix: str
    """The file name's suffix, without the dot."""
    framework: str
    """The framework's name, as people and the package index know it."""
    package: str
    """The framework's name as it is imported."""

    def can_encode(self, model: Any) -> bool:
        """Tell whether `model` is this framework's, without importing the framework."""

    def encode(self, model: Any) -> bytes:
        """Return the model as bytes of this format."""

    def decode(self, data: bytes, options: DecodeOptions) -> Any:
        """Return the model that `data` holds; whatever the framework raises is passed on."""


def is_from(package: str, value: Any) -> bool:
    """Tell whether the class of `value`, or one it derives from, is defined in `package`.

    >>> from fractions import Fraction
    >>> is_from("fractions", Fraction(1, 2)), is_from("torch", Fraction(1, 2))
    (True, False)
    """
    return any(cls.__module__.partition(".")[0] == package for cls in type(value).__mro__)


def find_class(package: Any, name: str, *, accepted: tuple[str, ...]) -> Any:
    """Return the class `name` of `package` where it is one of `accepted`; raise ModelBinaryError where it is not."""
    if name not in accepted:
        raise ModelBinaryError(
            f"class {name!r} is none that {package.__name__} models are loaded as ({', '.join(accepted)})"
        )
    return getattr(package, name)
