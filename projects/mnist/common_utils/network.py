"""The network that is trained and served."""

import torch
from torch import Tensor, nn

CLASSES = 10


class Shift(nn.Module):
    """Moves each picture by up to `most` pixels each way while training: ten thousand pictures are few."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the pictures, moved in training and as they are when answering."""
        if not self.training:
            return pictures
        size = pictures.shape[-1]
        padded = nn.functional.pad(pictures, [self.most] * 4, mode="replicate")
        offsets = torch.randint(2 * self.most + 1, (2, len(pictures), 1), device=pictures.device)
        rows, columns = offsets + torch.arange(size, device=pictures.device)
        every = torch.arange(len(pictures), device=pictures.device)[:, None, None]
        return padded[every, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def make_network() -> nn.Module:
    """Return a small convolutional network: (n, 1, 28, 28) to the logits (n, 10)."""
    return nn.Sequential(
        Shift(2),
        *_block(1, 16),
        nn.MaxPool2d(2),
        *_block(16, 32),
        nn.MaxPool2d(2),
        *_block(32, 64),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64 * 3 * 3, CLASSES),
    )


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
