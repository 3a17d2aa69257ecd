"""minivit itself; with MINIVIT_FUSED=1 its compiled loops."""

import os

import numpy as np

import minivit as mv
from benchmarks import works
from minivit import nn, optim
from minivit.models.clip import CLIP, TextTransformer, VisionTransformer
from minivit.models.gpt import GPT
from minivit.models.vit import ViT
from minivit.published.tables import adopt
from minivit.training.parallel import DataParallel
from minivit.training.trainer import classification_loss

VERSION = f"minivit {mv.__version__}, NumPy {np.__version__}"
if os.environ.get("MINIVIT_FUSED") == "1":
    VERSION += ", with compiled loops"


def build(work):
    """The model of a work, with the work's weights."""
    m = work.model
    with nn.empty():
        if isinstance(m, works.ViT):
            s = m.stack
            model = ViT(m.image, m.patch, m.channels, m.classes, s.width, s.layers, s.heads)
        elif isinstance(m, works.GPT):
            model = GPT(m.vocabulary, m.tokens, m.stack.width, m.stack.layers, m.stack.heads)
        else:
            v, t = m.vision, m.text
            vision = VisionTransformer(m.image, m.patch, v.width, v.layers, v.heads)
            text = TextTransformer(m.vocabulary, m.context, t.width, t.layers, t.heads)
            model = CLIP(vision, text, v.width, t.width, m.shared)
    return adopt(model, works.weights(work))


def make(work, threads):
    if work.kind == "ops":
        return {
            f"{op} {size}": one_op(op, *works.op_inputs(op, *shape))
            for op in works.OPS
            for size, shape in works.OP_SIZES.items()
        }
    model = build(work)
    if work.kind == "sample":
        start = np.zeros((work.batch, 1), np.int64)
        return lambda: model.complete(start, work.model.tokens - 1, temperature=0)
    batch = [mv.Tensor(a) if a.dtype.kind == "f" else a for a in works.data(work)]
    if work.kind == "train":
        optimizer = optim.AdamW(model.parameters(), works.LR, works.BETAS, works.EPS,
                                works.WEIGHT_DECAY)  # fmt: skip

        loss_of = (
            classification_loss if threads == 1 else DataParallel(classification_loss, threads)
        )

        def step():
            optimizer.zero_grad()
            loss = loss_of(model, *batch)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step
    model.eval()

    @mv.no_grad()
    def forward():
        return model(*batch if isinstance(work.model, works.CLIP) else batch[:1]).numpy()

    return forward


FUNCTIONS = {
    "add": mv.add,
    "linear": mv.linear,
    "layer_norm": mv.layer_norm,
    "gelu": lambda x: mv.gelu(x, approximate="tanh"),
    "softmax": mv.softmax,
    "cross_entropy": mv.cross_entropy_loss,
    "attention": lambda qkv: mv.self_attention(qkv, heads=4),
}


def one_op(op, arrays, g):
    f = FUNCTIONS[op]
    inputs = [mv.Tensor(a, requires_grad=True) if a.dtype.kind == "f" else a for a in arrays]
    wanted = [x for x in inputs if isinstance(x, mv.Tensor)]

    def run():
        for x in wanted:
            x.grad = None
        y = f(*inputs)
        y.backward(g)
        return [y._array, *(x.grad for x in wanted)]

    return run
