"""Wheels made on the spot, so that no package index decides what a test finds."""

import zipfile
from pathlib import Path


def make_wheel(folder: Path, name: str, version: str, *requires: str, python: str = ">=3", module: str = "") -> Path:
    """Make a wheel that requires `requires` and holds the text `module` as the module of its name."""
    about = f"{name}-{version}.dist-info"
    metadata = "".join(f"Requires-Dist: {line}\n" for line in requires)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", module or f"VERSION = {version!r}\n")
        wheel.writestr(
            f"{about}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n{metadata}",
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    return path
