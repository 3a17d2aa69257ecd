"""A ViT that learns from emoji without labels: hidden patches, and what it has learnt (C10).

    python -m minivit.course.runs masked_patches --plan
    python -m minivit.course.runs masked_patches heads     # patches of 4 pixels, three seeds
    python -m minivit.course.runs masked_patches sixteen   # the same with 16 heads, 20 seeds
    python -m minivit.course.runs masked_patches filters   # patches of 8 pixels, one seed

As in section 4.6 of the ViT paper half of the patches are replaced by a learned vector, and the
loss looks at those alone; here the answer is all pixels of a patch, by squared error. Six layers,
2,400 steps: for the first hundreds the model learns no more than the mean colour.

The rule of the claim, fixed before the run: `verdicts.C10` over the three seeds of `heads`, from
the attention on whole emoji of concepts that were never trained on. With its four heads a layer the
second half of the claim stayed open: the farthest head of layer 1 looks 7.5 to 11 pixels far. The
figure of the paper is of a net with 16 heads a layer, so `sixteen` has as many, of the same width
together, and the same rule. Nothing else is changed. Five seeds put its farthest head at 15.3 to
16.5 pixels; the rule asks for 15.55 at least. So fifteen more were planned then, to be looked at
when all are there: the verdict is that of 20 seeds, whatever it is. They put it at 15.67 to 16.15.

The first projection starts at a tenth of its usual size, so that what is seen in it was learnt.
"""

import functools

import numpy as np

from minivit import Tensor, manual_seed, nn, no_grad
from minivit.course.runs import plans
from minivit.course.runs import results as record
from minivit.course.runs.clip import keep_model
from minivit.course.runs.plans import Job
from minivit.engine import ops
from minivit.images.patches import patchify
from minivit.models.vit import ViT
from minivit.training import data, inspect

RUN = "masked_patches"
SEEDS, MORE_SEEDS = (0, 1, 2), tuple(range(20))
WIDTH, LAYERS, HEADS, SIXTEEN = 64, 6, 4, 16
STEPS, BATCH, RATE, DECAY = 2400, 32, 2e-3, 0.1
HIDDEN, START = 0.5, 0.1  # the share of patches that are hidden; the size of the first projection
LOOKED_AT = 128  # emoji
SECONDS = {4: 0.25, 8: 0.08, SIXTEEN: 0.3}  # a step of one core; by patch, or with 16 heads


class MaskedPatches(nn.Module):
    """A ViT, the vector of a hidden patch, and a linear layer from tokens back to pixels."""

    def __init__(self, vit):
        self.vit = vit
        width, pixels = vit.projection.weight.shape
        self.hidden = nn.Parameter(nn.normal((1, 1, width), 0.02))
        self.decode = nn.Linear(width, pixels)

    def forward(self, images, hidden):
        """(B, H, W, C), hidden (B, N) bool -> all patches, (B, N, P P C)."""
        vit = self.vit
        x = vit.projection(patchify(images, vit.patch))
        x = ops.where(hidden[:, :, None], self.hidden, x)
        cls = ops.broadcast_to(vit.class_token, (len(hidden), 1, x.shape[2]))
        x = ops.concatenate([cls, x], axis=1) + vit.position
        for layer in vit.layers:
            x = layer(x)
        return self.decode(vit.norm(x)[:, 1:])

    def loss(self, images, hidden):
        """The mean squared error of the hidden patches' pixels."""
        error = self(images, hidden) - patchify(images, self.vit.patch)
        share = hidden.astype(error.dtype)[:, :, None] / (hidden.sum() * error.shape[2])
        return (error * error * Tensor(share)).sum()


class MaskedBatches(data.Batches):
    """Images, and which `count` of their `N` patches are hidden: a function of the step."""

    def __init__(self, images, N, **options):
        super().__init__(images, **options)
        self.N, self.count = N, round(HIDDEN * N)

    def __getitem__(self, step):
        (images,) = super().__getitem__(step)
        order = np.random.default_rng([self.seed, step, 1]).random((len(images), self.N))
        return images, order.argsort(axis=1) < self.count


@functools.cache
def emoji():
    """(trained images, images of concepts never trained on), in all styles."""
    e = data.emoji()
    images = np.concatenate([e.images[s] for s in data.STYLES])
    unseen = e.held_out[np.concatenate([e.concepts[s] for s in data.STYLES])]
    return images[~unseen], images[unseen]


def model(patch, seed, heads=HEADS):
    """Before training."""
    manual_seed(seed)
    vit = ViT(32, patch, 3, 0, WIDTH, LAYERS, heads)
    vit.projection.weight.data *= START
    return MaskedPatches(vit)


@no_grad()
def distances(vit):
    """How far each head looks, in pixels, on emoji of unseen concepts: (layers, heads)."""
    maps = vit.attention(Tensor(emoji()[1][:LOOKED_AT]))
    return [inspect.mean_attention_distance(a, vit.grid, vit.patch).tolist() for a in maps]


def components(vit, shown=12):
    """The first principal components of the first projection, and their shares."""
    pictures, share = inspect.filter_components(vit.projection.weight.numpy(), vit.patch, 3)
    return {"pictures": pictures[:shown].round(4).tolist(), "share": share[:shown].tolist()}


def _trained(name, patch, seed, *heads):
    m = model(patch, seed, *heads)
    batches = MaskedBatches(emoji()[0], (32 // patch) ** 2, batch_size=BATCH, seed=seed)
    numbers = plans.train(RUN, name, m, batches, MaskedPatches.loss, STEPS, RATE, DECAY)
    with no_grad():
        hidden = np.random.default_rng(7).random((LOOKED_AT, batches.N)).argsort(1) < batches.count
        images = emoji()[1][:LOOKED_AT]
        patches = patchify(images, patch)[hidden]
        error = {
            "unseen error": m.loss(Tensor(images), hidden).item(),
            "error of the mean": float(((patches - patches.mean(axis=0)) ** 2).mean()),
        }
    return m.vit, {"seed": seed, "patch": patch, **numbers, **error}


def heads(seed, *count):
    """Patches of 4 pixels: how far heads look, before and after. count: SIXTEEN, or nothing. Of the
    model with four heads a layer seed 0 ships."""
    start = distances(model(4, seed, *count).vit)
    vit, numbers = _trained(record.job_name(heads, seed, *count), 4, seed, *count)
    if seed == 0 and not count:
        keep_model("emoji-masked", vit)
    slope, p = inspect.depth_trend(np.array(distances(vit)))
    position = inspect.position_similarity(vit.position.numpy(), vit.grid)
    near = inspect.patch_distances(vit.grid) == 1
    r, p_layout = inspect.mantel(position.reshape(len(near), -1), near)
    return {
        **numbers, "before": start, "after": distances(vit), "slope": slope, "p": p,
        "layout r": r, "layout p": p_layout,
        "uniform": inspect.uniform_distance(vit.grid, vit.patch),
    }  # fmt: skip


def filters(seed):
    """Patches of 8 pixels: the principal components of the first projection, before and after."""
    start = components(model(8, seed).vit)
    vit, numbers = _trained(f"filters {seed}", 8, seed)
    return {**numbers, "before": start, "after": components(vit)}


PARTS = {
    "filters": [Job(filters, (0,), STEPS * SECONDS[8])],
    "heads": [Job(heads, (s,), STEPS * SECONDS[4]) for s in SEEDS],
    "sixteen": [Job(heads, (s, SIXTEEN), STEPS * SECONDS[SIXTEEN]) for s in MORE_SEEDS],
}


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """What data/results/masked_patches.json holds: {job: numbers}, and the machine."""
    return record.kept(RUN)
