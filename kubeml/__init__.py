"""Distributed training: a KubeDataset and a KubeModel, trained by workers that average their weights every K steps."""

# The two names that a function file imports; everything else is asked for by its module.
from kubeml.dataset import KubeDataset
from kubeml.model import KubeModel

__all__ = ["KubeDataset", "KubeModel"]
