"""A ViT with another head: the same network for five classes, then with a head of one's own."""

import numpy as np

from minivit import nn
from minivit.models.vit import ViT


class Regression(nn.Module):
    """The features of `body`, as one vector for each image: (B, H, W, C) -> (B,)."""

    def __init__(self, body):
        self.body = body
        self.head = nn.Sequential(nn.LayerNorm(body.config["width"]), nn.Linear(64, 1))

    def forward(self, images):
        return self.head(self.body(images))[:, 0]


images = np.zeros((2, 8, 8, 1), np.float32)

digits = ViT(image=8, patch=2, classes=10, width=64)
print("ten classes: ", digits(images).shape)

five = ViT(**digits.config | {"classes": 5})  # every model keeps the arguments it was made with
print("five classes:", five(images).shape)

body = ViT(**digits.config | {"classes": 0})  # no head: the features come out
model = Regression(body)
print("one number:  ", model(images).shape)
print(model)
