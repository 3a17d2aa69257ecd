"""Fine-tuning a saved model: train on digits, save, load, and go on with another task."""

import tempfile
from pathlib import Path

import numpy as np

import minivit
from minivit.models.vit import ViT
from minivit.optim import AdamW
from minivit.training import data
from minivit.training.trainer import Trainer

minivit.manual_seed(0)
digits = data.digits()
folder = Path(tempfile.mkdtemp()) / "digits-vit"


def train(model, labels, steps, lr):
    batches = data.Batches(digits.train_images, labels, batch_size=64)
    Trainer(model, AdamW(model.parameters(), lr=lr), batches).run(steps, progress=False)


def accuracy(model, labels):
    model.eval()
    with minivit.no_grad():
        return np.mean(model(digits.test_images).numpy().argmax(axis=1) == labels)


model = ViT(image=8, patch=2, classes=10, width=32, layers=2, heads=4)
train(model, digits.train_labels, steps=150, lr=3e-3)
print(f"which digit: {accuracy(model, digits.test_labels):.1%} of the test images")
minivit.save(model, folder)
print("saved:", *sorted(path.name for path in folder.iterdir()))

# Somebody else, later: is it an odd digit?
loaded = minivit.load(folder).model
tuned = loaded.adapted(classes=2)  # the same weights, a new head
train(tuned, digits.train_labels % 2, steps=60, lr=1e-3)
print(f"odd or even: {accuracy(tuned, digits.test_labels % 2):.1%}")

fresh = ViT(**tuned.config)
train(fresh, digits.train_labels % 2, steps=60, lr=1e-3)
print(f"the same 60 steps from nothing: {accuracy(fresh, digits.test_labels % 2):.1%}")
