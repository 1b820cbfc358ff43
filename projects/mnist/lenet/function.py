"""A kubeml function file: LeNet, as in the paper of 1998 but for its activations, on pictures of 28 x 28 pixels."""

import numpy as np
import torch
from torch import nn

from kubeml import KubeDataset, KubeModel


class Mnist(KubeDataset):
    """Pictures of 0..255, and which digit each one is."""

    def __init__(self):
        super().__init__("mnist")

    def __getitem__(self, index):
        return prepare(self.data[index]), self.labels[index].astype("int64")

    def __len__(self):
        return len(self.data)


class LeNet(KubeModel):
    """How the network is trained, judged and asked."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, weight_decay=1e-4)

    def init(self, model):
        def set_weights(module):
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(module.bias, 0.01)

        model.apply(set_weights)

    def train(self, x, y, batch_index):
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def validate(self, x, y, batch_index):
        output = self(x)
        return (output.argmax(1) == y).float().mean().item(), nn.functional.cross_entropy(output, y).item()

    def infer(self, model, data):
        pictures = np.array(data, dtype=np.float32)
        if pictures.ndim != 3 or pictures.shape[1:] != (28, 28):
            raise ValueError('expected {"instances": [...]}, pictures of 28 rows with 28 numbers from 0 to 255')
        x = torch.from_numpy(np.stack([prepare(picture) for picture in pictures])).to(self.device)
        return model(x).argmax(1)


def prepare(picture):
    """What the network sees of a picture: one channel, numbers around 0."""
    return ((picture.astype(np.float32) / 255 - 0.1307) / 0.3081)[None]


def make_network():
    """Return LeNet for 28 x 28 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def main():
    """Make the network and begin."""
    return LeNet(make_network(), Mnist(), gpu=True).start()
