"""ViT: an image is worth 16x16 words (Dosovitskiy et al. 2020, arXiv 2010.11929).

The five steps of the lecture are the five statements of `tokens`.
"""

import numpy as np

from minivit import nn, ops
from minivit.errors import RangeError, ShapeError
from minivit.patches import patchify
from minivit.transformer import TransformerLayer

# name: (layers, width D, MLP width, heads), Table 1 of the paper
SIZES = {
    "Ti": (12, 192, 768, 3),
    "S": (12, 384, 1536, 6),
    "B": (12, 768, 3072, 12),
    "L": (24, 1024, 4096, 16),
    "H": (32, 1280, 5120, 16),
}


class ViT(nn.Module):
    """Images (B, H, W, C) to class logits (B, classes).

    image: the side in pixels, or (H, W); patch: the side P. Initialisation as in the paper's code:
    Xavier-uniform matrices, LayerNorm eps 1e-6, GELU by tanh, positions N(0, 0.02^2), class token
    and head zero.
    """

    def __init__(
        self, image=8, patch=2, channels=1, classes=10, width=64, layers=4, heads=4, hidden=None,
        dropout=0.0,
    ):  # fmt: skip
        H, W = (image, image) if isinstance(image, int) else image
        if H % patch or W % patch:
            raise ShapeError(
                f"ViT: an image of {H} x {W} does not divide into patches of {patch} x {patch}"
            )
        if width % heads:
            raise ShapeError(f"ViT: width {width} does not divide into {heads} heads")
        self.image, self.patch, self.channels = (H, W), patch, channels
        self.grid = H // patch, W // patch
        N = self.grid[0] * self.grid[1]
        self.projection = nn.Linear(patch * patch * channels, width)
        self.class_token = nn.Parameter(np.zeros((1, 1, width), np.float32))
        self.position = nn.Parameter(nn.normal((1, N + 1, width), 0.02))
        self.layers = [
            TransformerLayer(
                width, heads, hidden, activation="gelu_tanh", eps=1e-6, dropout=dropout
            )
            for _ in range(layers)
        ]
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)
        self.drop = nn.Dropout(dropout)
        self._initialise()

    def _initialise(self):
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.assign(nn.xavier_uniform(*module.weight.shape))
                module.bias.data[...] = 0
        self.head.weight.data[...] = 0

    def tokens(self, images):
        """The input of the first layer: (B, H, W, C) -> (B, N + 1, D)."""
        if images.shape[1:] != (*self.image, self.channels):
            raise ShapeError(
                f"ViT: got images {images.shape}, expected (B, H, W, C) = "
                f"(B, {self.image[0]}, {self.image[1]}, {self.channels})"
            )
        x = patchify(images, self.patch)  # 1. patches, 2. a sequence: (B, N, P P C)
        x = self.projection(x)  # 3. a trainable linear projection: (B, N, D)
        cls = ops.broadcast_to(self.class_token, (x.shape[0], 1, x.shape[2]))
        x = ops.concatenate([cls, x], axis=1)  # 5. the class token in front: (B, N + 1, D)
        return self.drop(x + self.position)  # 4. learned 1-D positions

    def features(self, images):
        """The class token after the last layer and LayerNorm: (B, D)."""
        x = self.tokens(images)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x[:, 0])

    def forward(self, images):
        return self.head(self.features(images))  # (B, D) -> (B, classes)

    def attention(self, images):
        """The attention weights of every layer: a list of arrays (B, heads, N + 1, N + 1)."""
        x, maps = self.tokens(images), []
        for layer in self.layers:
            maps.append(layer.attention_weights(x).numpy())
            x = layer(x)
        return maps


def vit(name, image=224, channels=3, classes=1000):
    """A published configuration, such as vit("B/16"): size B, and 16 is the *patch* side (the
    slide calls it the input size)."""
    size, _, patch = name.partition("/")
    if size not in SIZES or not patch.isdigit():
        raise RangeError(f"vit: got {name!r}, expected e.g. 'B/16', with one of {list(SIZES)}")
    layers, width, hidden, heads = SIZES[size]
    return ViT(image, int(patch), channels, classes, width, layers, heads, hidden)
