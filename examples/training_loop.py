"""A training loop of one's own: what `Trainer` does, in the lines that matter."""

import minivit
from minivit.models.vit import ViT
from minivit.optim import AdamW, clip_grad_norm, warmup_cosine
from minivit.training import data

STEPS = 150

minivit.manual_seed(0)
digits = data.digits()  # 8x8 pictures of digits, split into training and test
batches = data.Batches(digits.train_images, digits.train_labels, batch_size=64)
model = ViT(image=8, patch=2, classes=10, width=32, layers=2, heads=4)
optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)

for step in range(STEPS):
    images, labels = batches[step]
    for group in optimizer.groups:
        group["lr"] = 3e-3 * warmup_cosine(step, STEPS, warmup=15)
    optimizer.zero_grad()
    loss = minivit.cross_entropy_loss(model(images), labels)
    loss.backward()
    clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()
    if step % 30 == 0:
        print(f"step {step:3}: loss {loss:.3f}")

model.eval()
with minivit.no_grad():
    right = model(digits.test_images).numpy().argmax(axis=1) == digits.test_labels
print(f"test accuracy after {STEPS} steps: {right.mean():.1%}")
