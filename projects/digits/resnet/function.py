"""A kubeml function file: a small residual network on digits of 8 x 8 pixels."""

import numpy as np
import torch
from torch import nn

from kubeml import KubeDataset, KubeModel


class Digits(KubeDataset):
    """Pictures with values from 0 to 16, and which digit each one is."""

    def __init__(self):
        super().__init__("digits")

    def __getitem__(self, index):
        return prepare(self.data[index]), self.labels[index]

    def __len__(self):
        return len(self.data)


class Block(nn.Module):
    """Two convolutions, and a way past them."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.way_past = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.convolutions(x) + self.way_past(x))


class ResNet(KubeModel):
    """How the network is trained, judged and asked."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, weight_decay=1e-4)

    def train(self, x, y, batch_index):
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def validate(self, x, y, batch_index):
        output = self(x)
        return (output.argmax(1) == y).float().mean().item(), nn.functional.cross_entropy(output, y).item()

    def infer(self, data):
        pictures = np.array(data, dtype=np.float32)
        if pictures.ndim != 3 or pictures.shape[1:] != (8, 8):
            raise ValueError('expected {"instances": [...]}, pictures of 8 rows with 8 numbers from 0 to 16')
        x = torch.from_numpy(np.stack([prepare(picture) for picture in pictures])).to(self.device)
        return self(x).argmax(1)


def prepare(picture):
    """What the network sees of a picture: one channel, numbers around 0."""
    return (picture.astype(np.float32) - 4.9)[None] / 6.0


def main():
    """Make the network and begin."""
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Block(16, 16, 1),
        Block(16, 32, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    return ResNet(network, Digits()).start()
