"""Wheels made on the spot, so that no package index decides what a test finds."""

import base64
import hashlib
import zipfile
from pathlib import Path


def make_wheel(
    folder: Path, name: str, version: str, *requires: str, python: str = ">=3", module: str = "", **more: str
) -> Path:
    """Make a wheel that requires `requires` and holds the text `module` as the module of its name.

    `more` are texts of other files, by their path with `/` as `__`, `.py` left out.
    """
    about = f"{name}-{version}.dist-info"
    metadata = "".join(f"Requires-Dist: {line}\n" for line in requires)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    files = {
        f"{name}.py": module or f"VERSION = {version!r}\n",
        **{f"{place.replace('__', '/')}.py": text for place, text in more.items()},
        f"{about}/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n{metadata}"
        ),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{place},sha256={_hash(text)},{len(text)}\n" for place, text in files.items())
    with zipfile.ZipFile(path, "w") as wheel:
        for place, text in {**files, f"{about}/RECORD": f"{record}{about}/RECORD,,\n"}.items():
            wheel.writestr(place, text)
    return path


def _hash(text: str) -> str:
    """As RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
