"""Distributed training: a KubeDataset and a KubeModel, trained by workers that average their weights every K steps."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubeml.dataset import KubeDataset
    from kubeml.model import KubeModel

__all__ = ["KubeDataset", "KubeModel"]


def __getattr__(name: str) -> Any:
    """Import the two names that a function file asks for; what makes data needs `kubeml.folders`, and no torch."""
    if name == "KubeDataset":
        from kubeml.dataset import KubeDataset

        return KubeDataset
    if name == "KubeModel":
        from kubeml.model import KubeModel

        return KubeModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
