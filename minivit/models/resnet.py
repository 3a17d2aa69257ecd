"""ResNets: the plain one that ViT is compared with, and CLIP's.

Channels-last images (B, H, W, C). BatchNorm keeps running statistics, which are not parameters but
belong to the state.
"""

import numpy as np

from minivit import functions, nn
from minivit.attention import SeparateProjections
from minivit.convolution import Conv2d, avg_pool2d
from minivit.engine import ops
from minivit.engine.errors import OptionError, ShapeError
from minivit.images.patches import check_images, patchify


class BatchNorm2d(nn.Module):
    """(x - mean) / sqrt(var + eps) * weight + bias, statistics over batch, height and width
    (Ioffe & Szegedy 2015); in eval mode those that training has averaged."""

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        nn.check_sizes(self, channels=channels)
        nn.check_eps(self, eps=eps, momentum=momentum)
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(np.ones(channels, np.float32))
        self.bias = nn.Parameter(np.zeros(channels, np.float32))
        self.running_mean = nn.Buffer(np.zeros(channels, np.float32))
        self.running_var = nn.Buffer(np.ones(channels, np.float32))

    def forward(self, x):
        if not self.training:
            scale = self.weight / (self.running_var + self.eps).sqrt()  # (C,)
            return x * scale + (self.bias - self.running_mean * scale)
        n = x.size // x.shape[-1]
        if n < 2:
            raise ShapeError(
                f"BatchNorm2d: got {x.shape}, one value a channel: there is no variance to train on"
            )
        mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        for running, now in ((self.running_mean, mean), (self.running_var, var * (n / (n - 1)))):
            running.data = running.data + self.momentum * (now.data - running.data)
        return (x - mean) * (self.weight / (var + self.eps).sqrt()) + self.bias


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2015)."""

    def __init__(self, channels_in, channels, stride):
        self.conv1 = Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, 1, padding=1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.shortcut = None
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                Conv2d(channels_in, channels, 1, stride, bias=False), BatchNorm2d(channels)
            )

    def forward(self, x):
        y = functions.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functions.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nn.Module):
    """A small ResNet for small images: (B, H, W, C) -> (B, classes).

    blocks: how many BasicBlocks at each width; width doubles and the side halves from one to the
    next. The inductive bias that ViT lacks: locality and the same weights everywhere.
    patch: 2 makes one place of each 2 x 2 pixels before the first convolution, with four times the
    channels, for a quarter of its work. classes: 0 makes no head, and the features come out.
    """

    def __init__(self, channels=1, classes=10, width=16, blocks=(1, 1, 1), patch=1):
        _check_blocks(self, blocks)
        nn.check_sizes(self, channels=channels, width=width, patch=patch)
        nn.check_sizes(self, least=0, classes=classes)
        self.channels, self.patch = channels, patch
        self.stem = Conv2d(channels * patch * patch, width, 3, 1, padding=1, bias=False)
        self.bn = BatchNorm2d(width)
        self.blocks, before = [], width
        for i, n in enumerate(blocks):
            for j in range(n):
                self.blocks.append(BasicBlock(before, width << i, 2 if i and not j else 1))
                before = width << i
        self.head = nn.Linear(before, classes) if classes else None

    def features(self, images):
        """The mean over all positions of the last feature map: (B, D)."""
        check_images("ResNet", images, C=self.channels)
        if self.patch > 1:
            B, H, W, _ = images.shape
            grid = H // self.patch, W // self.patch
            images = patchify(images, self.patch).reshape(B, *grid, -1)  # (B, H/P, W/P, P P C)
        x = functions.relu(self.bn(self.stem(images)))
        for block in self.blocks:
            x = block(x)
        return x.mean(axis=(1, 2))

    def forward(self, images):
        x = self.features(images)
        return x if self.head is None else self.head(x)  # (B, D) -> (B, classes)


def _check_blocks(owner, blocks):
    """The number of blocks at each width: integers."""
    if not isinstance(blocks, (tuple, list)) or not blocks:
        raise OptionError(
            f"{type(owner).__name__}: got {blocks!r}, expected how many blocks at each width"
        )
    for number in blocks:
        nn.check_sizes(owner, blocks=number)


class Bottleneck(nn.Module):
    """CLIP's: 1x1, 3x3, average pool where others stride (anti-aliasing), 1x1 to 4 times width."""

    def __init__(self, channels_in, channels, stride):
        nn.check_sizes(self, channels_in=channels_in, channels=channels, stride=stride)
        out = 4 * channels
        self.stride = stride
        self.conv1 = Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.conv3 = Conv2d(channels, out, 1, bias=False)
        self.bn3 = BatchNorm2d(out)
        self.bn3.weight.data[...] = 0  # each block starts as its shortcut
        self.downsample = None
        if stride > 1 or channels_in != out:
            self.downsample = nn.Sequential(
                Conv2d(channels_in, out, 1, bias=False), BatchNorm2d(out)
            )

    def forward(self, x):
        y = functions.relu(self.bn1(self.conv1(x)))
        y = functions.relu(self.bn2(self.conv2(y)))
        if self.stride > 1:
            y, x = avg_pool2d(y, self.stride), avg_pool2d(x, self.stride)
        y = self.bn3(self.conv3(y))
        return functions.relu(y + (x if self.downsample is None else self.downsample(x)))


class AttentionPool(SeparateProjections):
    """One attention step whose only query is the mean of all positions: (B, h, w, C) -> (B, E)."""

    def __init__(self, side, channels, heads, out):
        nn.check_sizes(self, side=side, channels=channels, heads=heads, out=out)
        std = channels**-0.5
        self.side = side
        self.positional_embedding = nn.Parameter(nn.normal((side * side + 1, channels), std))
        super().__init__(channels, heads)
        self.c_proj = nn.Linear(channels, out)
        for linear in (self.q_proj, self.k_proj, self.v_proj, self.c_proj):
            linear.weight.assign(nn.normal(linear.weight.shape, std))

    def forward(self, x):
        B, h, w, C = x.shape
        if h != self.side or w != self.side:
            raise ShapeError(f"AttentionPool: got a map of {h} x {w}, expected side {self.side}")
        x = x.reshape(B, h * w, C)
        x = ops.concatenate([x.mean(axis=1, keepdims=True), x], axis=1)  # (B, 1 + h w, C)
        x = x + self.positional_embedding
        return self.c_proj(self.attend(x[:, :1], x)[:, 0])


class ModifiedResNet(nn.Module):
    """CLIP's ResNet: a stem of three convolutions and an average pool, Bottlenecks that pool
    instead of striding, and attention pooling: (B, H, W, 3) -> (B, E)."""

    def __init__(self, image=224, width=64, layers=(3, 4, 6, 3), out=1024, channels=3, heads=None):
        _check_blocks(self, layers)
        nn.check_sizes(self, image=image, width=width, out=out, channels=channels)
        if width % 2 or image % (4 << (len(layers) - 1)):
            raise ShapeError(
                f"ModifiedResNet: an image of {image} and width {width}; expected a multiple of "
                f"{4 << (len(layers) - 1)}, by which it is made smaller, and an even width"
            )
        self.image, self.channels = image, channels
        self.conv1 = Conv2d(channels, width // 2, 3, 2, padding=1, bias=False)
        self.bn1 = BatchNorm2d(width // 2)
        self.conv2 = Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width // 2)
        self.conv3 = Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = BatchNorm2d(width)
        self.layers, before = [], width
        for i, n in enumerate(layers):
            blocks = []
            for j in range(n):
                blocks.append(Bottleneck(before, width << i, 2 if i and not j else 1))
                before = 4 * (width << i)
            self.layers.append(nn.Sequential(*blocks))
        side = image // (4 << (len(layers) - 1))
        self.attnpool = AttentionPool(side, before, before // 64 if heads is None else heads, out)

    def forward(self, images):
        check_images("CLIP", images, self.image, self.image, self.channels)
        x = functions.relu(self.bn1(self.conv1(images)))
        x = functions.relu(self.bn2(self.conv2(x)))
        x = avg_pool2d(functions.relu(self.bn3(self.conv3(x))), 2)
        for layer in self.layers:
            x = layer(x)
        return self.attnpool(x)
