"""Which installed packages share a layer: each large one has its own, frameworks below all others, in one order.

So models whose frameworks are equal share their layers, whatever else they ask for. A layer's key is the digest of what
it holds and of all below it; it does not depend on what was built before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from modelyard.context.build_context import digest_parts
from modelyard.images.distributions import Distribution
from modelyard.runtime.application import DEFAULT_ENVIRONMENT

FRAMEWORKS = (
    *("numpy", "scipy", "pandas", "scikit-learn", "pyarrow", "polars", "matplotlib", "plotly", "scikit-image"),
    *("statsmodels", "llvmlite", "numba", "xgboost", "lightgbm", "catboost", "onnxruntime", "jaxlib", "jax", "keras"),
    *("tensorflow", "tokenizers", "transformers", "torch", "torchvision", "torchaudio"),
)
_ORDER = {name: place for place, name in enumerate(FRAMEWORKS)}
LARGE = 1 << 20
"""The bytes from which on a package has a layer of its own."""
# An engine stacks 127 layers at most, and there are those of the platform, of the runtime and of the source.
MOST = 80
FORMAT = "2"
"""To be raised when layers are written in another way: it is in the keys of layers and of dependency images."""


@dataclass(frozen=True)
class Shelf:
    """What one layer holds: packages of one environment, or, without any, the environment itself."""

    environment: str
    distributions: tuple[Distribution, ...] = ()

    @property
    def title(self) -> str:
        """What `docker history` shows."""
        if not self.distributions:
            return f"environment: {self.environment}"
        of = "" if self.environment == DEFAULT_ENVIRONMENT else f" of {self.environment}"
        return f"requirements{of}: {', '.join(each.title for each in self.distributions)}"

    @property
    def modules(self) -> Iterator[str]:
        """What can be compiled, by its path below the folder of environments."""
        return (f"{self.environment}/{name}" for each in self.distributions for name in each.modules)


def arrange(installed: Mapping[str, Sequence[Distribution]]) -> list[Shelf]:
    """The layers of what is installed in each environment, from the bottom up."""
    shelves = [shelf for name, found in installed.items() for shelf in _split(name, found)]
    if len(shelves) <= MOST:
        return shelves
    whole = [(Shelf(name), Shelf(name, tuple(found))) for name, found in installed.items()]
    return [shelf for empty, full in whole for shelf in ((empty, full) if full.distributions else (empty,))]


def _split(environment: str, distributions: Sequence[Distribution]) -> Iterator[Shelf]:
    yield Shelf(environment)
    small = tuple(each for each in distributions if each.name not in _ORDER and each.size < LARGE)
    large = [each for each in distributions if each not in small]
    for each in sorted(large, key=lambda each: (_ORDER.get(each.name, len(_ORDER)), each.name)):
        yield Shelf(environment, (each,))
    if small:
        yield Shelf(environment, small)


def chain_keys(seed: Iterable[str], shelves: Iterable[Shelf]) -> list[str]:
    """The key of each layer; `seed` says what is below all of them, and what compiles."""
    key = digest_parts(map(str.encode, [FORMAT, *seed]))
    keys = []
    for shelf in shelves:
        key = digest_parts(map(str.encode, [key, shelf.environment, *(each.digest for each in shelf.distributions)]))
        keys.append(key)
    return keys


def count_shared(keys: Sequence[str], others: Sequence[str]) -> int:
    """How many layers two images have in common, from the bottom.

    >>> count_shared(["a", "b", "c"], ["a", "b", "x"])
    2
    """
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(keys, others, strict=False)))


def shelf_key(seed: Iterable[str], shelf: Shelf) -> str:
    """The key of a layer by itself, whatever is below it; `seed` is as in `chain_keys`."""
    parts = [FORMAT, *seed, shelf.environment, *(each.digest for each in shelf.distributions)]
    return digest_parts(map(str.encode, parts))
