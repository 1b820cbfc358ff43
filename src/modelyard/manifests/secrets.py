"""Secrets as objects. They go to standard output only, and to nowhere else."""

import base64
import json
from collections.abc import Mapping

from modelyard.manifests.documents import Manifest


def make_secret(name: str, data: Mapping[str, bytes]) -> Manifest:
    """An Opaque secret."""
    return _secret(name, "Opaque", data)


def make_registry_secret(name: str, auths: Mapping[str, Mapping[str, str]]) -> Manifest:
    """What `imagePullSecrets` name, of the `auths` of a docker configuration."""
    content = json.dumps({"auths": auths}, sort_keys=True).encode()
    return _secret(name, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": content})


def _secret(name: str, type_: str, data: Mapping[str, bytes]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": type_,
        "data": {key: base64.b64encode(value).decode() for key, value in sorted(data.items())},
    }
