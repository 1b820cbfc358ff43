"""Which part a picture belongs to: decided by its own name, so that no other picture can move it."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

SPLITS = ("train", "val", "test")


def read_shares(data: Mapping[str, Any]) -> dict[str, float]:
    """Return the share of each part by train_pct, val_pct and test_pct; raise ValueError unless they add up to 1."""
    shares = {name: data.get(f"{name}_pct") for name in SPLITS}
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise ValueError(f"data.{name}_pct is {share!r}, expected a number between 0 and 1")
    if abs(sum(shares.values()) - 1) > 1e-9:
        written = " + ".join(f"{share:g}" for share in shares.values())
        raise ValueError(
            f"data.train_pct + data.val_pct + data.test_pct = {written} = {sum(shares.values()):g}, expected 1"
        )
    return shares


def choose_split(name: str, shares: Mapping[str, float], *, seed: int) -> str:
    """Return the part that a picture of that name is in.

    Every class is split by the same rule, so all have about these shares in every part, and of pictures that come later
    none moves an earlier one. Only the numbers of pictures are near to the shares and not equal to them.

    >>> choose_split("dog.1.jpg", {"train": 0.6, "val": 0.2, "test": 0.2}, seed=0)
    'train'
    """
    place = int.from_bytes(blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big") / 2**64
    bound = 0.0
    for part, share in shares.items():
        bound += share
        if place < bound:
            return part
    return part
