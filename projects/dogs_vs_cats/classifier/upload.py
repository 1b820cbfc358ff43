"""Upload: what somebody needs who has neither the project nor the tool: numbers, weights, and code that loads them.

Three files: results.csv (one row: metrics, parameters, labels, the weights' file), model_state_dict.pth, and
prep_model.py, which needs torch alone. They are an output of the step, and go to a bucket or a folder where the
configuration names one.
"""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dogs_vs_cats.common_utils import transfer
from dogs_vs_cats.common_utils.buckets import open_bucket
from dogs_vs_cats.common_utils.model import Loaded, load
from dogs_vs_cats.common_utils.settings import refuse_keys
from dogs_vs_cats.common_utils.tables import write_rows

NAME = "dogs_vs_cats"
RESULTS, WEIGHTS, CODE = "results.csv", "model_state_dict.pth", "prep_model.py"
_PREP_MODEL = '''

def prep_model(model_state_dict, device="cpu", num_classes={classes}):
    """Return the trained network on `device`, ready to answer: pictures (n, 3, {size}, {size}) to logits.

    Pixels are scaled to 0..1, then (pixels - MEAN) / DEVIATION for each of red, green and blue. Classes: {names}.

        prep_model(torch.load("{weights}", map_location="cpu", weights_only=True))
    """
    model = TransferModel(make_trunk(), make_head(FEATURES, {layer_size}, num_classes))
    model.load_state_dict(model_state_dict)
    return model.to(device).eval()


CLASSES, SIZE = {names}, {size}
MEAN, DEVIATION = {mean}, {deviation}
'''


def upload(msg: Any) -> dict[str, Any]:
    """Write the three files, and put them where `aws` says."""
    params, inputs, folder = msg.payload["params"], msg.payload["inputs"], Path(msg.payload["outputs"]["results"])
    refuse_keys(params["aws"])
    folder.mkdir(parents=True, exist_ok=True)
    model = load(NAME, inputs["model"])
    tested = json.loads(Path(inputs["metrics"]).read_text(encoding="utf-8"))
    row = describe_result(model, tested)
    write_rows(folder / RESULTS, list(row), [row])
    torch.save({name: value.cpu() for name, value in model.network.state_dict().items()}, folder / WEIGHTS)
    (folder / CODE).write_text(write_prep_model(model), encoding="utf-8")
    return {"uploaded": put(folder, params["aws"])}


def put(folder: Path, aws: Mapping[str, Any]) -> list[str]:
    """Put the files into the bucket, and return where they are; nothing where none is named."""
    if not aws.get("bucket_name"):
        print("aws.bucket_name is empty: the results stay an output of this step")
        return []
    bucket, prefix = open_bucket(aws, folder=folder), str(aws.get("results_upload_path") or "").strip("/")
    return [bucket.store(folder / name, f"{prefix}/{name}".lstrip("/")) for name in (RESULTS, WEIGHTS, CODE)]


def describe_result(model: Loaded, tested: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one row of results.csv."""
    manifest = model.manifest
    return {
        **manifest.metrics,
        **tested,
        **manifest.params,
        **manifest.attributes["labels"],
        "synthetic": manifest.synthetic,
        "model_state_dict": WEIGHTS,
    }


def write_prep_model(model: Loaded) -> str:
    """Return a module that holds the network's own source, and a function that fills it."""
    sources = [inspect.getsource(model.trunk.network), inspect.getsource(transfer)]
    about = _PREP_MODEL.format(
        classes=len(model.classes),
        names=list(model.classes),
        size=model.size,
        weights=WEIGHTS,
        layer_size=model.manifest.attributes["layer_size"],
        mean=model.trunk.mean,
        deviation=model.trunk.deviation,
    )
    return "\n\n".join([*sources, about.lstrip("\n")])
