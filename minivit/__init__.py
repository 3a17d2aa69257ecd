"""minivit: Vision Transformers, from the first derivative to CLIP. The table of contents.

    engine      0 errors     what can go wrong, by name
                1 backend    which arrays: NumPy or CuPy
                2 graph      nodes, and the walk back through them
                3 tensor     an array that remembers how it was made
                4 record     op: from a function of arrays to a function of Tensors
                5 ops        the primitives, each beside its derivative
                6 products   matmul, dot, einsum
                7 operators  Python's operators, NumPy's functions
                8 check      doubt: is a derivative right?
    networks    9 functions  softmax, GELU, LayerNorm, cross-entropy ..., derived by hand
               10 nn         Module, Linear, LayerNorm, Embedding, Dropout
               11 optim      SGD, Adam, AdamW; schedules; clipping
               12 convolution  patches times a matrix; pooling
               13 attention    every token looks at the others; the KV cache
               14 transformer  the layer, in both orders
    inputs     15 tokenizer    text to ids: byte-pair encoding
               16 patches      images to sequences of patches
               17 generation   the output fed back into the input
               18 decoding     the next token through the layers, on arrays alone
               19 palette      images to sequences of colours
    papers     models/         one file a paper: bert, gpt, seq2seq, image_gpt, vit, resnet,
                               scaling, clip
    appendices appendices/     data, train, checkpoint, pretrained, plot, inspect, course, grading,
                               cli

A file imports only from earlier chapters (tests/test_reading_order.py).

Shapes in comments: B batch, N tokens (M: keys), D width, H heads, P patch side, C channels or
classes, V vocabulary; H, W of an image are its height and width in pixels.
"""

from minivit import (
    attention,
    backend,
    check,
    convolution,
    decoding,
    errors,
    functions,
    generation,
    graph,
    nn,
    operators,
    optim,
    palette,
    patches,
    transformer,
)
from minivit.attention import (
    MhSa,
    MultiHeadAttention,
    causal_mask,
    dot_product_attention,
    self_attention,
)
from minivit.backend import default_device, manual_seed, use
from minivit.functions import (
    cross_entropy_loss,
    dropout,
    embedding,
    gelu,
    l2_normalize,
    layer_norm,
    linear,
    log_softmax,
    logsumexp,
    relu,
    rms_norm,
    sigmoid,
    silu,
    softmax,
)
from minivit.nn import Module, Parameter
from minivit.ops import (
    absolute,
    add,
    broadcast_to,
    clip,
    concatenate,
    cumsum,
    divide,
    erf,
    exp,
    flip,
    log,
    max,
    maximum,
    mean,
    min,
    minimum,
    multiply,
    negative,
    pad,
    power,
    reshape,
    split,
    sqrt,
    stack,
    subtract,
    sum,
    swapaxes,
    tanh,
    transpose,
    var,
    where,
)
from minivit.products import dot, einsum, matmul
from minivit.record import OPS, detect_anomaly, no_grad, op
from minivit.tensor import Tensor

__version__ = "0.1.0"


def load(source, path=None):
    """A published model, with its tokenizer and preprocessing: minivit.appendices.pretrained.load.

    clip = minivit.load("openai/clip-vit-base-patch32"); clip.model, clip.tokenizer, clip.preprocess
    """
    from minivit.appendices import pretrained  # an appendix, so loaded when it is wanted

    return pretrained.load(source, path)
