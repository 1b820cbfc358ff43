"""ResNet-50 without its last layer: pictures (n, 3, size, size) to features (n, 2048).

He et al., 2015 (https://arxiv.org/abs/1512.03385), with the stride in the 3 x 3 convolution of a block. Names of layers
are those of torchvision's weights, which fit as they are. Needs torch alone: `upload` copies this file into
prep_model.py.
"""

from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 2048
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
_WIDENING = 4


def make_trunk() -> nn.Module:
    """Return the network with random weights."""
    return ResNet50()


class Bottleneck(nn.Module):
    """Three convolutions, and a way around them that changes its shape where they do."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * _WIDENING
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the block's outputs."""
        maps = F.relu(self.bn1(self.conv1(inputs)))
        maps = F.relu(self.bn2(self.conv2(maps)))
        maps = self.bn3(self.conv3(maps))
        return F.relu(maps + (inputs if self.downsample is None else self.downsample(inputs)))


class ResNet50(nn.Module):
    """A stem and four stages, whose outputs are averaged over the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        channels = 64
        for number, (width, repeats, stride) in enumerate(_STAGES, start=1):
            blocks = []
            for place in range(repeats):
                blocks.append(Bottleneck(channels, width, stride if place == 0 else 1))
                channels = width * _WIDENING
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the features of pictures."""
        maps = F.max_pool2d(F.relu(self.bn1(self.conv1(pictures))), 3, 2, 1)
        for number in range(1, len(_STAGES) + 1):
            maps = self.get_submodule(f"layer{number}")(maps)
        return maps.mean((2, 3))
