"""Objects as files that kustomize reads: a base that is written anew, and an overlay that is the user's."""

from collections.abc import Sequence

from modelyard.manifests.documents import Manifest, write_documents

_KIND = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
OVERLAY = "overlays/production/kustomization.yaml"


def lay_out(manifests: Sequence[Manifest]) -> dict[str, str]:
    """Paths and texts: `base/` has a file for each object."""
    files = lay_out_flat(manifests, folder="base/")
    names = [path.removeprefix("base/") for path in files]
    files["base/kustomization.yaml"] = write_documents([{**_KIND, "resources": names}])
    files[OVERLAY] = write_documents([{**_KIND, "resources": ["../../base"]}])
    return files


def lay_out_flat(manifests: Sequence[Manifest], *, folder: str = "") -> dict[str, str]:
    """A file for each object, called by its kind and name."""
    return {
        f"{folder}{one['kind'].lower()}-{one['metadata']['name']}.yaml": write_documents([one]) for one in manifests
    }
