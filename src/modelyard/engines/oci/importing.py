"""Make a base image of a root file system: `python -m modelyard.engines.oci.importing TAR TAG COMMENT`."""

import os
import platform
import sys
from pathlib import Path

from modelyard.engines.oci.layout import CONFIG, STORE_LOCK, Layout
from modelyard.engines.oci.registry import MANIFEST
from modelyard.errors import ModelyardError
from modelyard.images.configuration import EPOCH
from modelyard.images.layer import digest_file
from modelyard.images.platforms import parse_platform
from modelyard.machine.home import Home, explaining_disk_errors


def import_base(home: Home, archive: Path, tag: str, *, comment: str) -> str:
    """Keep a tar of this machine's processor as an image of one layer, called `tag`; return its digest."""
    layout = Layout(home.root / "oci")
    with explaining_disk_errors(), home.lock(STORE_LOCK, shared=True):
        diff_id = digest_file(archive)
        config = {
            "architecture": parse_platform(platform.machine()).architecture,
            "os": "linux",
            "created": EPOCH,
            "config": {"Cmd": ["python3"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": EPOCH, "comment": comment}],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": layout.write_json(config, CONFIG),
            "layers": [layout.compress(archive, diff_id)],
        }
        descriptor = layout.write_json(manifest, MANIFEST)
        layout.tag(descriptor, tag)
    return str(descriptor["digest"])


def main(arguments: list[str]) -> int:
    """Do so; print the digest."""
    archive, tag, comment = arguments
    try:
        print(import_base(Home.from_environ(os.environ), Path(archive), tag, comment=comment))
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
