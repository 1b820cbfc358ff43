"""Two networks and the function that answers with either; and plain Flask around it, as people write it."""

import base64
from functools import lru_cache

import numpy as np
import torch
from flask import Flask, jsonify, request
from torch import nn

from common_utils.torch_predictor import TorchPredictor
from mnist.common_utils.network import make_network

LAYERS = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))
SIDE = 224


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions with a way around them (He et al., 2015)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.work = nn.Sequential(
            *(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
        )
        self.around = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.around = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, pictures):
        """Return what goes to the next block."""
        return torch.relu(self.work(pictures) + self.around(pictures))


def make_resnet50() -> nn.Module:
    """Return a network with ResNet-50's layers, 25.6 million parameters: (n, 3, any, any) to (n, 1000)."""
    blocks, inputs = [], 64
    for count, width, stride in LAYERS:
        for number in range(count):
            blocks.append(Bottleneck(inputs, width, stride if number == 0 else 1))
            inputs = 4 * width
    return nn.Sequential(
        nn.Upsample(size=(SIDE, SIDE), mode="bilinear"),
        *(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *blocks,
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000)),
    )


NETS = {"cnn": (make_network, (1, 28, 28)), "resnet50": (make_resnet50, (3, 56, 56))}


@lru_cache
def load(name):
    """Make a network and bring it to its device, once a process."""
    make, shape = NETS[name]
    torch.manual_seed(0)
    network = make()
    nn.init.normal_(network[-1].weight)  # else all pictures would be answered nearly alike
    return TorchPredictor.for_serving(network, example=np.zeros((1, *shape), np.float32), batch_size=64)


def predict(name, payload):
    """Return the first ten logits of each picture, which is the bytes of its pixels in base64."""
    shape = NETS[name][1]
    pixels = [np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape) for text in payload["instances"]]
    logits = load(name)(np.stack(pixels).astype(np.float32) / 255)
    return {"scores": logits[:, :10].tolist()}


app = Flask(__name__)


@app.post("/<name>")
def serve(name):
    """Serve one of them."""
    return jsonify(predict(name, request.get_json()))
