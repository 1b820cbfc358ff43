"""The peer: Flask as people write it, every worker with every model."""

from adult import load, predict
from flask import Flask, jsonify, request

app = Flask(__name__)


@app.post("/noop")
def noop():
    """Do nothing."""
    return jsonify(ok=True)


def serve(name):
    """Serve one of the models."""
    load(name)

    def view():
        return jsonify(predictions=predict(name, request.get_json()["instances"]))

    app.add_url_rule(f"/{name}", name, view, methods=["POST"])


for model in ("lr", "rf", "xgb", "cat"):
    serve(model)
