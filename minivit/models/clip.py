"""CLIP: learn from which caption belongs to which image (Radford et al. 2021, arXiv 2103.00020).

`clip_loss` holds the pseudocode of the paper's Figure 3 as it is printed; a test compares it with
the slide. `import numpy as np` is NumPy: its functions work on Tensors.
"""

import math

import numpy as np

from minivit import nn
from minivit.engine import ops
from minivit.engine.errors import DtypeError, GraphError, OptionError, ShapeError
from minivit.engine.recompute import recompute
from minivit.engine.record import function
from minivit.engine.tensor import Tensor
from minivit.functions import cross_entropy_loss, l2_normalize
from minivit.images.patches import check_images, patchify
from minivit.models.resnet import BatchNorm2d, ModifiedResNet
from minivit.text.batch import check_length, host
from minivit.text.words import one_or_many
from minivit.transformer import TransformerLayer


@function
def clip_loss(image_encoder, text_encoder, I, T, W_i, W_t, t):
    n = len(I)
    # image_encoder - ResNet or Vision Transformer
    # text_encoder - CBOW or Text Transformer
    # I[n, h, w, c] - minibatch of aligned images
    # T[n, l] - minibatch of aligned texts
    # W_i[d_i, d_e] - learned proj of image to embed
    # W_t[d_t, d_e] - learned proj of text to embed
    # t - learned temperature parameter

    # extract feature representations of each modality
    I_f = image_encoder(I)  # [n, d_i]
    T_f = text_encoder(T)  # [n, d_t]

    # joint multimodal embedding [n, d_e]
    I_e = l2_normalize(np.dot(I_f, W_i), axis=1)
    T_e = l2_normalize(np.dot(T_f, W_t), axis=1)

    # scaled pairwise cosine similarities [n, n]
    logits = np.dot(I_e, T_e.T) * np.exp(t)

    # symmetric loss function
    labels = np.arange(n)
    loss_i = cross_entropy_loss(logits, labels, axis=0)
    loss_t = cross_entropy_loss(logits, labels, axis=1)
    loss = (loss_i + loss_t) / 2
    return loss


class PatchEmbedding(nn.Module):
    """Each patch, flattened, through one trainable matrix: (B, H, W, C) -> (B, N, D).

    The same as a convolution with stride P; `weight` is (D, P P C).
    """

    def __init__(self, patch, channels, width, bias=True):
        self.patch = patch
        self.projection = nn.Linear(patch * patch * channels, width, bias)

    def forward(self, images):
        return self.projection(patchify(images, self.patch))


class VisionTransformer(nn.Module):
    """CLIP's ViT: no bias in the patch projection, a LayerNorm before the layers and one after, on
    the class token: (B, H, W, C) -> (B, D). QuickGELU (in some later CLIPs: `activation`)."""

    def __init__(
        self, image=224, patch=32, width=768, layers=12, heads=None, channels=3, hidden=None,
        activation="quick_gelu", eps=1e-5,
    ):  # fmt: skip
        heads = width // 64 if heads is None else heads
        nn.check_sizes(self, image=image, patch=patch, width=width, channels=channels, heads=heads)
        nn.check_sizes(self, least=0, layers=layers)
        if image % patch:
            raise ShapeError(f"CLIP: an image of {image} does not divide into patches of {patch}")
        std, N = width**-0.5, (image // patch) ** 2
        self.image, self.width, self.channels = image, width, channels
        self.patches = PatchEmbedding(patch, channels, width, bias=False)
        self.class_embedding = nn.Parameter(nn.normal((width,), std))
        self.positional_embedding = nn.Parameter(nn.normal((N + 1, width), std))
        self.ln_pre = nn.LayerNorm(width, eps)
        self.layers = [
            TransformerLayer(width, heads, hidden, activation=activation, eps=eps)
            for _ in range(layers)
        ]
        self.ln_post = nn.LayerNorm(width, eps)

    def forward(self, images):
        check_images("CLIP", images, self.image, self.image, self.channels)
        x = self.patches(images)  # (B, N, D)
        cls = ops.broadcast_to(self.class_embedding, (x.shape[0], 1, x.shape[2]))
        x = self.ln_pre(ops.concatenate([cls, x], axis=1) + self.positional_embedding)
        for layer in self.layers:
            x = layer(x)
        return self.ln_post(x[:, 0])


class TextTransformer(nn.Module):
    """Token ids (B, L) to (B, D): causal layers, read at [EOS], the largest id, V - 1."""

    def __init__(
        self, vocabulary=49408, context=77, width=512, layers=12, heads=None, hidden=None,
        activation="quick_gelu", eps=1e-5,
    ):  # fmt: skip
        heads = width // 64 if heads is None else heads
        nn.check_sizes(self, vocabulary=vocabulary, context=context, width=width, heads=heads)
        nn.check_sizes(self, layers=layers)
        self.vocabulary, self.context, self.width = vocabulary, context, width
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(nn.normal((context, width), 0.01))
        self.layers = [
            TransformerLayer(width, heads, hidden, activation=activation, eps=eps)
            for _ in range(layers)
        ]
        self.ln_final = nn.LayerNorm(width, eps)
        self.token_embedding.weight.assign(nn.normal((vocabulary, width), 0.02))
        for layer in self.layers:
            for p, std in (
                (layer.attn.in_proj_weight, width**-0.5),
                (layer.attn.out_proj.weight, (width * 2 * layers) ** -0.5),
                (layer.mlp.fc1.weight, (2 * width) ** -0.5),
                (layer.mlp.fc2.weight, (width * 2 * layers) ** -0.5),
            ):
                p.assign(nn.normal(p.shape, std))

    def forward(self, ids):
        ids = check_texts(ids)
        check_length("CLIP text", ids.shape[1], self.context)
        if (short := ids.max(axis=1) < self.vocabulary - 1).any():
            raise ShapeError(
                f"texts[{short.argmax()}]: there is no [EOS], id {self.vocabulary - 1}, where a "
                "text is read. CLIPTokenizer ends each text with it."
            )
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, causal=True)
        return self.ln_final(x[np.arange(len(ids)), eos_places(ids)])


class BagOfWords(nn.Module):
    """CBOW: the mean of the words' vectors, padding (id 0) left out: (B, L) -> (B, D)."""

    def __init__(self, vocabulary, width=512):
        nn.check_sizes(self, vocabulary=vocabulary, width=width)
        self.width = width
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.token_embedding.weight.assign(nn.normal((vocabulary, width), 0.02))

    def forward(self, ids):
        ids = check_texts(ids)
        real = (ids != 0)[:, :, None].astype(np.float32)
        x = self.token_embedding(ids)
        mean = Tensor(real / real.sum(axis=1, keepdims=True), device=x.device)
        return (x * mean).sum(axis=1)


def eos_places(ids):
    """The end of each text: the place of its largest id, (B, L) -> (B,)."""
    return ids.argmax(axis=1)


def check_texts(ids):
    """Token ids as an array (B, L), each row with a token in it."""
    ids = host("CLIP: texts", ids)
    if ids.dtype.kind not in "iu":
        raise DtypeError(
            f"CLIP: texts: got dtype {ids.dtype}, expected token ids (B, L): tokenizer(texts)"
        )
    if ids.ndim != 2 or not ids.size:
        raise ShapeError(f"CLIP: texts: got shape {ids.shape}, expected token ids (B, L)")
    if (empty := ~ids.any(axis=1)).any():
        raise ShapeError(f"texts[{empty.argmax()}]: all padding: a text needs at least one token")
    return ids.astype(np.int64, copy=False)


class CLIP(nn.Module):
    """An image encoder and a text encoder with one common space of d_e dimensions.

    d_i, d_t: how wide the encoders' outputs are; d_i None: the image encoder projects to d_e
    itself, as the attention pool of CLIP's ResNets does. An encoder may be given by its
    description (`nn.described`).
    """

    def __init__(self, image_encoder, text_encoder, d_i, d_t, d_e):
        self.image_encoder, self.text_encoder = nn.build(image_encoder), nn.build(text_encoder)
        nn.check_sizes(self, d_t=d_t, d_e=d_e, **({} if d_i is None else {"d_i": d_i}))
        self.d_e = d_e
        self.W_i = None if d_i is None else nn.Parameter(nn.normal((d_i, d_e), d_i**-0.5))
        self.W_t = nn.Parameter(nn.normal((d_t, d_e), d_t**-0.5))
        self.t = nn.Parameter(np.array(math.log(1 / 0.07), np.float32))

    def encode_image(self, I):
        """Unit vectors (B, d_e) of images (B, H, W, C)."""
        return l2_normalize(np.dot(self.image_encoder(I), self._W_i()), axis=1)

    def encode_text(self, T):
        """Unit vectors (B, d_e) of token ids (B, L)."""
        return l2_normalize(np.dot(self.text_encoder(T), self.W_t), axis=1)

    def forward(self, I, T):
        """Scaled cosine similarities, one row an image, one column a text."""
        return np.dot(self.encode_image(I), self.encode_text(T).T) * np.exp(self.t)

    def loss(self, I, T, chunk=None):
        """The contrastive loss of n aligned pairs.

        chunk: for a batch that would not fit, the encoders take so many pairs at a time, and only
        the features and the (n, n) logits of the whole batch are held at once. A chunk is encoded,
        its graph is forgotten, and on the way back it is encoded again, with its rows of the
        features' gradient (`recompute`). Each pair still meets all others, so loss and gradients
        are exact (gradient caching: Gao et al. 2021, arXiv 2101.06983).
        """
        self._check_pairs(I, T)
        encoders = self.image_encoder, self.text_encoder
        if chunk is not None:
            encoders = [self._in_chunks(encoder, chunk) for encoder in encoders]
        return clip_loss(*encoders, I, T, self._W_i(), self.W_t, self.t)

    def _in_chunks(self, encoder, chunk):
        if type(chunk) is not int or chunk < 1:
            raise OptionError(f"chunk: got {chunk!r}, expected an integer, 1 or more")
        if self.training and any(isinstance(m, BatchNorm2d) for m in self.modules()):
            raise GraphError(
                "chunk: BatchNorm sees the whole batch, so in training a chunk's features are not "
                "the batch's. Call model.eval() first."
            )
        encode = recompute(encoder)
        return lambda x: ops.concatenate(
            [encode(x[i : i + chunk]) for i in range(0, len(x), chunk)]
        )

    def backward_in_chunks(self, I, T, chunk=256):
        """`loss(I, T).backward()` for a batch that would not fit; returns the loss, a number."""
        loss = self.loss(I, T, chunk)
        loss.backward()
        return loss.item()

    def clip_temperature(self, largest=100.0):
        """Keep exp(t) at most 100, as in the paper (section 2.5); call it after each step."""
        self.t.assign(min(float(self.t.data), math.log(largest)))

    def _W_i(self):
        if self.W_i is not None:
            return self.W_i
        return Tensor(np.eye(self.d_e, dtype=self.t.dtype), device=self.t.device)

    def _check_pairs(self, I, T):
        if not (hasattr(I, "__len__") and hasattr(T, "__len__")) or len(I) != len(T):
            n, m = (len(x) if hasattr(x, "__len__") else type(x).__name__ for x in (I, T))
            raise ShapeError(
                f"CLIP: got {n} images and {m} texts, expected pairs: text i describes image i"
            )
        if not len(I):
            raise ShapeError("CLIP: got no pairs")


# -- use -------------------------------------------------------------------------------------------
@function
def zero_shot_weights(model, tokenize, labels, templates=("a photo of a {}.",)):
    """A classifier made of text: (d_e, labels). Each label's prompts are encoded, averaged, and
    scaled to unit length again (prompt ensembling).

    tokenize(texts) gives token ids; templates: strings with {} for the label.
    """
    labels, templates = one_or_many(labels, "labels"), one_or_many(templates, "templates")
    if not labels or not all(labels):
        raise OptionError(f"zero_shot_weights: labels: got {labels!r}, expected some, none empty")
    if not templates or any("{}" not in s for s in templates):
        raise OptionError(
            f"zero_shot_weights: templates: got {templates!r}, expected strings with {{}} in them"
        )
    prompts = [s.replace("{}", label) for label in labels for s in templates]
    ids, first = tokenize(prompts), {}  # (labels * templates, L)
    for i, row in enumerate(host("zero_shot_weights: ids", ids).reshape(len(labels), -1)):
        if (same := first.setdefault(row.tobytes(), i)) != i:
            raise OptionError(
                f"zero_shot_weights: labels: {labels[same]!r} and {labels[i]!r} have the same "
                "tokens, so they are one label to the model; expected each once"
            )
    vectors = model.encode_text(ids)  # (labels * templates, d_e)
    vectors = vectors.reshape(len(labels), len(templates), -1)
    return l2_normalize(vectors.mean(axis=1), axis=1).T


@function
def recall_at_k(similarity, ks=(1, 5, 10)):
    """The share of rows whose right one is among the best k: {"image to text": {k: share}, "text to
    image": ...}, given similarities (n, n) of which [i, i] belong together.

    A candidate that scores as high as the right one counts as before it: a model that says the same
    of all gets 0.
    """
    s = np.asarray(similarity.numpy() if isinstance(similarity, Tensor) else similarity)
    if s.ndim != 2 or s.shape[0] != s.shape[1] or not s.size:
        raise ShapeError(f"recall_at_k: got {s.shape}, expected (n, n): image i belongs to text i")
    if any(not 1 <= k <= len(s) for k in ks):
        raise OptionError(f"recall_at_k: ks: got {tuple(ks)}, expected 1 to {len(s)}, the texts")
    right = s.diagonal()
    ranks = {
        "image to text": (s >= right[:, None]).sum(axis=1),  # 1: the best
        "text to image": (s >= right[None, :]).sum(axis=0),
    }
    return {way: {k: float((rank <= k).mean()) for k in ks} for way, rank in ranks.items()}


# -- the published models --------------------------------------------------------------------------
# name: (image side, d_e, vision, text width); vision: (width, blocks) or (patch, width, layers)
SIZES = {
    "RN50": (224, 1024, (64, (3, 4, 6, 3)), 512),
    "RN101": (224, 512, (64, (3, 4, 23, 3)), 512),
    "RN50x4": (288, 640, (80, (4, 6, 10, 6)), 640),
    "RN50x16": (384, 768, (96, (6, 8, 18, 8)), 768),
    "RN50x64": (448, 1024, (128, (3, 15, 36, 10)), 1024),
    "ViT-B/32": (224, 512, (32, 768, 12), 512),
    "ViT-B/16": (224, 512, (16, 768, 12), 512),
    "ViT-L/14": (224, 768, (14, 1024, 24), 768),
    "ViT-L/14@336": (336, 768, (14, 1024, 24), 768),
}


@function
def clip(name):
    """A published configuration, such as clip("ViT-B/32"), with random weights."""
    side, d_e, vision, width = _size(name)
    text = TextTransformer(width=width)
    if name.startswith("RN"):
        return CLIP(ModifiedResNet(side, *vision, out=d_e), text, None, width, d_e)
    patch, d_i, layers = vision
    return CLIP(VisionTransformer(side, patch, d_i, layers), text, d_i, width, d_e)


def _size(name):
    if name not in SIZES:
        raise OptionError(f"clip: got {name!r}, expected one of {list(SIZES)}")
    return SIZES[name]


def count_parameters(name):
    """The number of parameters of clip(name): {"image", "text", "total"}, projections included; the
    total has t too."""
    with nn.empty():
        model = clip(name)
    image = model.image_encoder.count_parameters() + (0 if model.W_i is None else model.W_i.size)
    text = model.text_encoder.count_parameters() + model.W_t.size
    return {"image": image, "text": text, "total": model.count_parameters()}
