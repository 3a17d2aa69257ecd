"""The library's own numbers beside a student's: for the functions that no run of `minivit build`
calls. Each is asked about the digits, or about the ViT that learns them."""

from types import SimpleNamespace

import numpy as np

CLOSE = 1e-4  # how much a number may differ, of the largest: float32, in another order


def _beside(what):
    def named(compare):
        COMPARED[compare.__name__] = what, compare
        return compare

    return named


COMPARED = {}  # function: (what is compared, f(mine, setting) -> pairs (yours, the library's))


def the_setting(seed=0):
    """Digits, and a ViT for them that has learnt nothing yet."""
    import minivit
    from minivit.models.vit import ViT
    from minivit.training import data, inspect

    digits = data.digits()
    minivit.manual_seed(seed)
    model = ViT(image=8, patch=2, channels=1, classes=10, width=64, layers=4, heads=4)
    arrays = inspect.trace(model, minivit.Tensor(digits.test_images[:8]))
    return SimpleNamespace(digits=digits, model=model, arrays=arrays)


def gap(name, mine, setting):
    """The largest difference between yours and the library's, of the library's largest number.
    Shapes and whole numbers differ or do not."""
    largest = 0.0
    for yours, own in COMPARED[name][1](mine, setting):
        yours, own = np.asarray(yours), np.asarray(own)
        if yours.shape != own.shape or (own.dtype.kind in "iu" and (yours != own).any()):
            return np.inf
        off = np.abs(yours - own).max(initial=0) / max(np.abs(own).max(initial=0), 1e-12)
        largest = max(largest, float(off))
    return largest


@_beside("both orders of a layer, on the tokens of a digit")
def transformer_layer(mine, setting):
    from minivit import Tensor, no_grad
    from minivit.transformer import TransformerLayer

    x = setting.arrays["tokens"][:1]  # (1, N, D)
    for norm in ("post", "pre"):
        layer = TransformerLayer(64, heads=1, hidden=128, norm=norm, activation="relu", bias=False)
        layer.attn.out_proj.weight.data[...] = np.eye(64)
        A = layer.attention_weights(Tensor(x)).numpy()[0, 0]
        W_v = layer.attn.in_proj_weight.numpy()[128:].T
        W_1, W_2 = layer.mlp.fc1.weight.numpy().T, layer.mlp.fc2.weight.numpy().T
        with no_grad():
            yield mine(x[0], A, W_v, W_1, W_2, norm == "pre"), layer(Tensor(x)).numpy()[0]


@_beside("what BERT's masking hides of a digit's pixels, and asks for")
def hide_tokens(mine, setting):
    from minivit.models.bert import mask_tokens

    ids = _colours(setting)
    read, labels = mask_tokens(ids[None], np.random.default_rng(0), 16, 16, special=(0,))
    chosen, kind = labels[0] != -100, [read[0] == 16, read[0] != ids]
    u = np.where(chosen, np.select(kind, [0.06, 0.13], 0.14), 0.5)  # what had to be drawn for it
    yield mine(ids, ids != 0, u, read[0], 16), np.stack([read[0], labels[0]])


@_beside("what the next token is drawn from, for the ViT's logits")
def next_distribution(mine, setting):
    from minivit.sampling.generation import next_token_distribution

    logits = np.random.default_rng(0).normal(size=(8, 10)) * 3 + setting.arrays["logits"]
    for row in logits:
        for how in ((1.0, 10, 1.0), (0.5, 4, 1.0), (2.0, 10, 0.7), (1.0, 5, 0.9)):
            yield mine(row, *how), next_token_distribution(row[None], *how)[0]


@_beside("attention from one digit's tokens to another's, some of them hidden")
def cross_attention(mine, setting):
    from minivit.attention import dot_product_attention

    q, k, v = (setting.arrays[f"{i}.ln_1"][i : i + 4] for i in (1, 2, 3))
    there = np.arange(17) < np.array([17, 9, 3, 12])[:, None]
    own = dot_product_attention(q, k, v, mask=there[:, None, None])
    yield mine(q, k, v, there), own.numpy()


@_beside("attention of a digit's last tokens to all of them")
def cached_attention(mine, setting):
    from minivit.attention import dot_product_attention

    q, k, v = (setting.arrays[f"{i}.ln_1"][0] for i in (1, 2, 3))
    for new in (1, 4, 17):
        own = dot_product_attention(q[None, -new:], k[None], v[None], heads=4, causal=True)
        old = len(q) - new
        yield mine(q[old:], k[old:], v[old:], k[:old], v[:old], 4), own.numpy()[0]


@_beside("a merge of the commonest pair of a digit's pixels")
def merge_pair(mine, setting):
    from minivit.text.bpe import merge

    ids = _colours(setting)
    pairs, counts = np.unique(np.stack([ids[:-1], ids[1:]]), axis=1, return_counts=True)
    for left, right in pairs.T[np.argsort(-counts)[:3]].tolist():
        yield mine(ids, left, right, 16), merge(ids.tolist(), (left, right), 16)


@_beside("a round of k-means on a digit's pixels")
def palette_step(mine, setting):
    from minivit.images.palette import kmeans

    image = setting.digits.train_images[0]
    pixels = image.reshape(-1, image.shape[-1])
    for rounds in (1, 2):
        centres, own = (kmeans(pixels, 3, 0, rounds + i, tolerance=-1)[0] for i in (0, 1))
        yield mine(image, centres), own


@_beside("a digit as Image GPT reads it")
def pixel_sequence(mine, setting):
    from minivit.images.palette import Palette

    palette = Palette.fit(setting.digits.train_images[:100], 4)
    for image in setting.digits.test_images[:4]:
        ids = palette.encode(image[None])[0]
        yield mine(image, palette.colours, 4), np.stack([[4, *ids[:-1]], ids])


@_beside("the accuracy of least squares on the pixels of 100 digits")
def ridge_probe(mine, setting):
    from minivit.models.scaling import few_shot

    d = setting.digits
    rows = np.concatenate([np.flatnonzero(d.train_labels == c)[:10] for c in range(10)])
    train, test = (a.reshape(len(a), -1).astype(float) for a in (d.train_images, d.test_images))
    train, labels = train[rows], d.train_labels[rows]
    scores = mine(train, labels, test, 10, 64.0)
    own = few_shot(train, labels, test, d.test_labels, shots=10, ridge=64.0)
    yield (scores.argmax(axis=1) == d.test_labels).mean(), own


@_beside("this ViT's numbers, part by part")
def parameter_counts(mine, setting):
    own = np.zeros(6, int)
    parts = (("projection",), ("class_token", "position"), (".attn.",), (".mlp.",), ("norm", ".ln"),
             ("head",))  # fmt: skip
    for name, p in setting.model.named_parameters():
        own[next(i for i, words in enumerate(parts) if any(w in name for w in words))] += p.size
    yield mine(8, 8, 2, 1, 64, 256, 4, 4, 10), own


@_beside("how far the heads of this ViT look")
def mean_distance(mine, setting):
    from minivit.training.inspect import mean_attention_distance

    for layer in (1, 2, 3, 4):
        A = setting.arrays[f"{layer}.attention"][:1]
        yield mine(A[0], 4, 4, 2), mean_attention_distance(A, (4, 4), 2)


@_beside("the gradients of a small graph of the engine")
def chain_rule(mine, setting):
    from minivit import Tensor
    from minivit.engine import graph

    x, w = (Tensor(v, requires_grad=True) for v in (3.0, -2.0))
    h = x * w + x * x
    y = h * h + w
    nodes = graph.newest_first(y.node)[::-1]
    places = {id(node): i for i, node in enumerate(nodes)}
    parents = [[places[id(p)] for p in node.parents if p is not None] for node in nodes]
    slopes = [[float(s) for s in node.pull(np.ones(()))] if node.parents else [] for node in nodes]
    own = graph.chain_rule(y.node, np.ones(()))
    yield mine(parents, slopes), [own[node] for node in nodes]


@_beside("this ViT's positions for other images")
def resize_positions(mine, setting):
    from minivit.models.vit import resize_positions

    position = setting.model.position.numpy()
    for new in ([6, 5], [3, 7]):
        yield mine(position[0], [4, 4], new), resize_positions(position, (4, 4), tuple(new))[0]


@_beside("attention pooling of a digit's tokens")
def attention_pool(mine, setting):
    from minivit import Tensor, no_grad
    from minivit.models.vit import MAPHead

    head = MAPHead(64, 4)
    head.q_proj.weight.data[...] = np.eye(64)
    for part in (head.q_proj, head.k_proj, head.v_proj):
        part.bias.data[...] = 0
    probe, W_k, W_v = (p.numpy() for p in (head.probe, head.k_proj.weight, head.v_proj.weight))
    for x in setting.arrays["4.out"][:2]:
        with no_grad():
            own = head.attend(head.probe, Tensor(x[None])).numpy()[0, 0]
        yield mine(x, probe[0, 0], W_k.T, W_v.T, 4), own


def _colours(setting):
    """The pixels of a digit as whole numbers from 0 to 15: (64,)."""
    image = setting.digits.test_images[0].ravel()
    return np.round((image - image.min()) / np.ptp(image) * 15).astype(int)
