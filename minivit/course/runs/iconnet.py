"""Icons by name: ViT and ResNet from 1,000 to all pictures of IconNet, baselines, what scales.

    python -m minivit.course.runs iconnet --plan     # the parts, and how long they take
    python -m minivit.course.runs iconnet resnet     # a ResNet of 0.4M parameters, all pictures
    python -m minivit.course.runs iconnet hands      # the same, pictures as others might draw them
    python -m minivit.course.runs iconnet deeper     # that with a fourth stage, 1.5M parameters
    python -m minivit.course.runs iconnet together   # the last two, asked together
    python -m minivit.course.runs iconnet rates      # learning rates, judged by validation families
    python -m minivit.course.runs iconnet pictures   # both nets, four training sets, 3 seeds (C08)
    python -m minivit.course.runs iconnet shuffled   # the ResNet on pixels in one shuffled order
    python -m minivit.course.runs iconnet baselines  # nearest neighbour, logistic regression
    python -m minivit.course.runs iconnet sizes      # three sizes of each net (scaling, F27)
    python -m minivit.course.runs iconnet internals  # the ViT, all pictures: how heads look (C10)

Needs the whole set: `minivit data icons`. The rules of the verdicts: runs/verdicts.py. Nothing is
chosen on the test families: a job asks them at its end.
"""

import functools

import numpy as np

import minivit
from minivit import Tensor, cross_entropy_loss, functions, manual_seed, nn, no_grad
from minivit.course.runs import plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.course.runs.scaling import subset
from minivit.engine import backend
from minivit.engine.errors import StateError
from minivit.models.resnet import ResNet
from minivit.models.vit import ViT
from minivit.training import icons, inspect
from minivit.training.checkpoint import checkpoints
from minivit.training.trainer import accuracy, classification_loss, predict

RUN = "iconnet"
SEEDS = (0, 1, 2)
BATCH, DECAY = 128, 0.05
IMAGES = (1_000, 4_000, 16_000, None)  # None: all of the training families
STEPS = {"ViT": 6_000, "ResNet": 4_000}
RATES = {"ViT": (3e-4, 1e-3, 3e-3), "ResNet": (1e-3, 3e-3, 1e-2)}
RATE = {"ViT": 1e-3, "ResNet": 3e-3}  # until `rates` has been made
SIZES = {"ViT": ((32, 2), (64, 4), (128, 6)), "ResNet": ((8,), (16,), (32,))}
SECONDS = {  # a step of 128 on one core: the widest nets measured, the others guessed
    ("ViT", 32, 2): 0.1, ("ViT", 64, 4): 0.33, ("ViT", 128, 6): 1.16,
    ("ResNet", 8): 0.09, ("ResNet", 16): 0.17, ("ResNet", 32): 0.33, ("ResNet", 32, 4): 0.4,
}  # fmt: skip


@functools.cache
def net():
    return icons.iconnet("all")


def built(kind, seed, size=None):
    """A net for 32 x 32 grey pictures: ViT of (width, layers), or ResNet of (width,), or
    (width, stages), three if not said."""
    manual_seed(seed)
    size = size or SIZES[kind][{"ViT": 1, "ResNet": 2}[kind]]
    if kind == "ResNet":
        width, stages = (*size, 3)[:2]
        return ResNet(1, len(net().classes), width, blocks=(1,) * stages, patch=2)
    width, layers = size
    return ViT(32, 4, 1, len(net().classes), width, layers, heads=4)


class Shuffled(icons.IconBatches):
    """The same pictures with all pixels in one order that was drawn once: no neighbours."""

    def __getitem__(self, step):
        images, labels = super().__getitem__(step)
        return shuffled(images), labels


def shuffled(images):
    order = np.random.default_rng(0).permutation(32 * 32)
    return images.reshape(len(images), -1)[:, order].reshape(images.shape)


def batches(n, seed, kind=icons.IconBatches):
    images, labels = net().part("train")
    chosen = subset(labels, n, seed) if n else slice(None)
    images, labels = images[chosen], labels[chosen]
    return kind(images, labels, batch_size=min(BATCH, len(labels)), seed=seed)


def accuracies(scores, part, of=None):
    """The accuracy of a net on a part: scores (n, classes)."""
    of = of or net()
    labels = of.part(part)[1]
    right = scores[np.arange(len(labels)), labels]
    return marks(scores, right, of.families_of(part), of.family_names)


def marks(scores, right, families, names):
    """Accuracies of scores (n, classes), where the right class has right (n,): a class that is
    level with it is before it. By family too, for the interval."""
    rank = (scores >= right[:, None]).sum(axis=1)  # 1: the best
    kinds, which = np.unique(families, return_inverse=True)
    return {
        "top-1": float((rank == 1).mean()), "top-5": float((rank <= 5).mean()),
        "right by family": np.bincount(which, rank == 1).astype(int).tolist(),
        "pictures by family": np.bincount(which).tolist(),
        "families": [names[k] for k in kinds],
    }  # fmt: skip


def examined(model, part="test", change=lambda images: images):
    """`accuracies` of a trained model."""
    images = net().part(part)[0]
    starts = range(0, len(images), 1024)  # floats of some at a time
    inputs = (change(icons.as_input(images[i : i + 1024])) for i in starts)
    return accuracies(np.concatenate([predict(model, some) for some in inputs]), part)


def watch(size=2000):
    """evaluate(model) for the trainer: accuracy on some pictures of the validation families."""
    images, labels = net().part("validation")
    some = np.random.default_rng(0).permutation(len(labels))[:size]
    return lambda m: {"validation": accuracy(m, icons.as_input(images[some]), labels[some])}


def rate_of(kind):
    """The rate that validation liked best, where `rates` has been made."""
    made = all(f"rates {kind} {rate}" in record.made(RUN) for rate in RATES[kind])
    return plans.best_rate(RUN, kind, RATES[kind]) if made else RATE[kind]


# -- the jobs --------------------------------------------------------------------------------------
def fitted(name, kind, seed, n=None, size=None, steps=None, rate=None, way=icons.IconBatches,
           loss=classification_loss):  # fmt: skip
    model, steps = built(kind, seed, size), steps or STEPS[kind]
    numbers = plans.train(
        RUN, name, model, batches(n, seed, way), loss, steps, rate or rate_of(kind), DECAY,
        evaluate=None if way is Shuffled else watch(), evaluate_every=500,
    )  # fmt: skip
    return model, {"seed": seed, "pictures": n or len(net().part("train")[1]), **numbers}


def rates(kind, rate):
    """One rate, for a quarter of the steps: validation only."""
    name = f"rates {kind} {rate}"
    model, numbers = fitted(name, kind, 100, steps=STEPS[kind] // 4, rate=rate)
    plans.forget(RUN, name)
    return numbers | {"validation": examined(model, "validation")}


def _on_both_parts(model):
    return {
        "test": examined(model), "validation": examined(model, "validation"),
        "classes": len(net().classes),
    }  # fmt: skip


def resnet(seed, steps):
    """The ResNet on all pictures."""
    model, numbers = fitted(f"resnet {seed} {steps}", "ResNet", seed, steps=steps)
    return numbers | _on_both_parts(model)


def _smoothed(model, images, labels):
    """The loss where a tenth of each label is spread over all classes (Szegedy et al. 2016, arXiv
    1512.00567, section 7)."""
    return cross_entropy_loss(model(images), labels, label_smoothing=0.1)


def hands(seed, steps):
    """The ResNet on all pictures, as other hands might have drawn them."""
    model, numbers = fitted(f"hands {seed} {steps}", "ResNet", seed, steps=steps,
                            way=icons.OtherHands, loss=_smoothed)  # fmt: skip
    return numbers | _on_both_parts(model)


def deeper(seed, steps):
    """The same with a fourth stage, which sees the whole drawing. Asked once more, in five places:
    as it is, and a pixel up, down, left and right (on validation that gave `hands` 0.9% more)."""
    model, numbers = fitted(f"deeper {seed} {steps}", "ResNet", seed, size=(32, 4), steps=steps,
                            way=icons.OtherHands, loss=_smoothed)  # fmt: skip
    return numbers | _on_both_parts(model) | {
        "five places": {part: examined(InFivePlaces(model), part) for part in icons.PARTS[1:]}
    }  # fmt: skip


def together(seed, steps):
    """The last two nets, asked together, in five places."""
    both = InFivePlaces(*(trained(f"{name} {seed} {steps}") for name in ("hands", "deeper")))
    return {"seed": seed, "parameters": both.count_parameters()} | _on_both_parts(both)


def trained(job):
    """The model of a job "NAME SEED STEPS", from its last checkpoint."""
    name, _, steps = job.split()
    done = checkpoints(plans.folder(RUN, job))
    if not done or done[-1].name != f"step-{int(steps):06}":
        raise StateError(
            f"{RUN}: the model of {job!r} is not in {plans.folder(RUN, job)}. Make it: delete the "
            f"entry {job!r} of {record.path(RUN)}, then python -m minivit.course.runs {RUN} {name}"
        )
    return minivit.load(done[-1]).model.to(backend.default_device())


class InFivePlaces(nn.Module):
    """The mean of the log-probabilities that the models give five shifts of each picture."""

    def __init__(self, *models):
        self.models = list(models)

    def forward(self, images):
        white, around = 1.0, ((0, 0), (1, 1), (1, 1), (0, 0))
        wide = np.pad(images.numpy(), around, constant_values=white)
        H, W = images.shape[1:3]
        places = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
        moved = [Tensor(wide[:, y : y + H, x : x + W], device=images.device) for y, x in places]
        given = [functions.log_softmax(model(some)) for model in self.models for some in moved]
        return sum(given) / len(given)


def pictures(kind, n, seed):
    """One net on n pictures."""
    name = f"pictures {kind} {n} {seed}"
    model, numbers = fitted(name, kind, seed, n)
    plans.forget(RUN, name)
    return numbers | {"test": examined(model)}


def shuffled_pixels(n, seed):
    """The ResNet without neighbours."""
    name = f"shuffled {n} {seed}"
    model, numbers = fitted(name, "ResNet", seed, n, way=Shuffled)
    plans.forget(RUN, name)
    return numbers | {"test": examined(model, change=shuffled)}


def sizes(kind, size, seed):
    """One size of a net on all pictures."""
    name = f"sizes {kind} {'x'.join(map(str, size))} {seed}"
    model, numbers = fitted(name, kind, seed, size=size)
    plans.forget(RUN, name)
    return numbers | {"test": examined(model)}


def nearest(n):
    """The class of the nearest training picture, by squared distance of pixels."""
    images, labels = net().part("train")
    chosen = subset(labels, n, 0) if n else np.arange(len(labels))
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    train, labels = flat(images[chosen]), labels[chosen]
    kinds, first = np.unique(labels, return_index=True)
    size, test = (train**2).sum(axis=1), net().part("test")[0]
    scores = np.full((len(test), len(net().classes)), -np.inf, np.float32)
    for i in range(0, len(test), 256):
        distances = size - 2 * flat(test[i : i + 256]) @ train.T  # less that of the test picture
        scores[i : i + 256, kinds] = -np.minimum.reduceat(distances, first, axis=1)
    return {"pictures": len(labels), "test": accuracies(scores, "test")}


def flat(images):
    return icons.as_input(images).reshape(len(images), -1)


class Flat(nn.Module):
    """Multinomial logistic regression on pixels."""

    def __init__(self, classes):
        self.head = nn.Linear(32 * 32, classes)

    def forward(self, images):
        return self.head(images.reshape(len(images), -1))


def logistic(n):
    """Logistic regression on the same batches."""
    name = f"logistic {n}"
    manual_seed(0)
    model = Flat(len(net().classes))
    numbers = plans.train(
        RUN, name, model, batches(n, 0), classification_loss, STEPS["ResNet"], 1e-3, DECAY
    )
    plans.forget(RUN, name)
    return {"seed": 0, "pictures": n or len(net().part("train")[1])} | numbers | {
        "test": examined(model)
    }  # fmt: skip


def internals(seed):
    """The ViT of `pictures` on all of them: how far its heads look, by layer. Of seed 0 the weights
    are kept."""
    model, numbers = fitted(f"internals {seed}", "ViT", seed)
    with no_grad():
        maps = model.attention(Tensor(icons.as_input(net().part("test")[0][:512:4])))
    far = [inspect.mean_attention_distance(a, model.grid, model.patch) for a in maps]
    slope, p = inspect.depth_trend(np.array(far))
    if seed == 0:
        where = record.folder() / "models" / "icons-vit"
        minivit.save(model, where, labels=net().classes, dtype="float16")
    return numbers | {
        "test": examined(model), "distance": np.array(far).round(3).tolist(), "slope": slope,
        "p": p, "alike": inspect.uniform_distance(model.grid, model.patch),
    }  # fmt: skip


def _seconds(kind, size=None):
    size = size or {"ViT": (64, 4), "ResNet": (32,)}[kind]
    return SECONDS[(kind, *size)] * STEPS[kind]


KINDS = ("ViT", "ResNet")
PARTS = {
    "resnet": [Job(resnet, (0, n), n * SECONDS["ResNet", 32]) for n in (2_500, 12_000)],
    "hands": [Job(hands, (0, 12_000), 12_000 * SECONDS["ResNet", 32])],
    "deeper": [Job(deeper, (0, 12_000), 12_000 * SECONDS["ResNet", 32, 4])],
    "together": [Job(together, (0, 12_000), 100)],
    "rates": [Job(rates, (k, r), _seconds(k) / 4) for k in KINDS for r in RATES[k]],
    "pictures": [
        Job(pictures, (k, n, s), _seconds(k)) for s in SEEDS for n in IMAGES for k in KINDS
    ],
    "shuffled": [Job(shuffled_pixels, (n, s), _seconds("ResNet")) for s in SEEDS for n in IMAGES],
    "baselines": [
        Job(function, (n,), 300) for n in IMAGES for function in (nearest, logistic)
    ],
    "sizes": [
        Job(sizes, (kind, size, seed), _seconds(kind, size))
        for seed in SEEDS for kind in KINDS for size in SIZES[kind]
    ],
    "internals": [Job(internals, (s,), _seconds("ViT")) for s in SEEDS],
}  # fmt: skip


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """The content of data/results/iconnet.json: {job: numbers}, and the machine."""
    return record.kept(RUN)
