"""What Triton's HTTP client sees of a daemon: run with `<host:port>`, by a Python that has tritonclient[http]."""

import json
import sys

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException


def make_input(name: str, array: np.ndarray, datatype: str, *, binary: bool) -> InferInput:
    """An input as the client sends it; in bytes unless told otherwise."""
    tensor = InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def main(address: str) -> dict[str, object]:
    """Ask everything; return what came back as JSON holds it."""
    client = InferenceServerClient(address)
    rows = np.array([[1.5, 2.5], [3.0, -4.0]], dtype=np.float32)
    seen: dict[str, object] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("total"),
        "nope_ready": client.is_model_ready("nope"),
        "server": client.get_server_metadata()["name"],
        "inputs": client.get_model_metadata("total")["inputs"],
        "repository": [entry["name"] for entry in client.get_model_repository_index()],
    }
    client.load_model("total")
    for binary in (True, False):
        outputs = [InferRequestedOutput("predictions", binary_data=binary)]
        result = client.infer("total", [make_input("x", rows, "FP32", binary=binary)], outputs=outputs, request_id="7")
        seen[f"total_{binary}"] = [result.get_response()["id"], result.as_numpy("predictions").tolist()]
    words = np.array([b"caf\xc3\xa9", b"x"], dtype=np.object_)
    result = client.infer("shout", [make_input("words", words, "BYTES", binary=True)])
    seen["shout"] = [word.decode() for word in result.as_numpy("predictions")]
    ages = make_input("age", np.array([25, 38]), "INT64", binary=True)
    flags = make_input("flag", np.array([True, False]), "BOOL", binary=False)
    result = client.infer("older", [ages, flags])
    seen["older"] = [result.as_numpy("ages").tolist(), result.as_numpy("known").tolist()]
    try:
        client.infer("refuse", [ages])
    except InferenceServerException as error:
        seen["refused"] = [error.status(), error.message()]
    return seen


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
