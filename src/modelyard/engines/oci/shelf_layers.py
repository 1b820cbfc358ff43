"""The layers of installed packages in a layout: what was written and compressed once is found again by its key."""

from pathlib import Path

from modelyard.engines.oci.layout import Layout
from modelyard.images.interpreter import Interpreter
from modelyard.images.layer import Layer
from modelyard.images.laying_out import Laid, describe_layers
from modelyard.images.shelves import shelf_key
from modelyard.machine.home import read_record, write_record
from modelyard.machine.output import OnOutput


def write_shelves(
    layout: Layout, laid: Laid, interpreter: Interpreter, folder: Path, on_output: OnOutput
) -> list[tuple[str, Layer]]:
    """Write the layers that the layout has not got, and return all of them, from the bottom up.

    What it has is compressed there, and has no file in `folder`.
    """
    seed = [interpreter.version, interpreter.path, laid.stage.compiler]
    keys = [shelf_key(seed, shelf) for shelf in laid.shelves]
    known = {key: digest for key in keys if (digest := _find(layout, key))}
    new = [(key, shelf) for key, shelf in zip(keys, laid.shelves, strict=True) if key not in known]
    on_output(describe_layers(len(keys), len(new)))
    written = dict(zip((key for key, _ in new), laid.write([shelf for _, shelf in new], folder), strict=True))
    for key, (_, layer) in written.items():
        _note(layout, key, layer.digest)
    layers = []
    for key, shelf in zip(keys, laid.shelves, strict=True):
        layers.append(written[key] if key in written else (shelf.title, Layer(folder / key, known[key])))
    return layers


def _find(layout: Layout, key: str) -> str | None:
    """The diff id of the layer of a key, where the layout has it."""
    digest = (read_record(_path(layout, key)) or {}).get("diff_id")
    return digest if isinstance(digest, str) and layout.find_compressed(digest) else None


def _note(layout: Layout, key: str, digest: str) -> None:
    path = _path(layout, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, {"diff_id": digest})


def _path(layout: Layout, key: str) -> Path:
    return layout.root / "shelves" / f"{key}.json"
