"""minivit: Vision Transformers, from the first derivative to CLIP. The table of contents.

Each folder is a room: its name says who comes in. Each file is a chapter with one new idea.

    engine/           arrays that remember how they were made
        errors            what can go wrong, by name
        backend           which arrays: NumPy or CuPy
        memory            what the C library is told about memory
        numerics          what NumPy and CuPy spell differently
        graph             nodes, and the walk back through them
        tensor            an array that remembers how it was made
        record            op: from a function of arrays to a function of Tensors
        ops               the primitives, each beside its derivative
        products          matmul, dot, einsum
        operators         Python's operators, NumPy's functions
        check             doubt: is a derivative right?
    files             a file is written whole or not at all
    functions         softmax, GELU, LayerNorm, cross-entropy, derived by hand
    nn                modules: Linear, LayerNorm, Embedding, Dropout
    optim             SGD, Adam, AdamW; schedules; clipping
    convolution       the other way to look at an image
    attention         every token looks at the others
    transformer       the layer, in both orders
    text/             from text to numbers
        words             text cut into words, and bytes as letters
        base              what every tokenizer does
        bpe               byte-pair encoding
        clip              CLIP's text input
        wordpiece         BERT's tokens
        batch             rows of unequal length as one array
    images/           from pictures to sequences
        pictures          photographs from files
        patches           images to sequences of patches
        palette           images to sequences of colours
    sampling/         the output fed back into the input
        generation        one token after the other
        decoding          the next token through the layers, on arrays alone
    models/           the papers, one file each
        bert gpt seq2seq image_gpt vit resnet scaling clip clip_objectives
    published/        what others trained, read into these models
        weights/          tensors from files that nobody trusts
            numbers tensors npz
        tables fields     from their names and configurations to ours
        vocabularies      their tokenizers
        preprocess        their pictures
        bert gpt2 image_gpt marian vit clip
        flops             what a forward pass costs
        download hub      from the network, once
    training/         data, the loop, and a look at what was learned
        data pairs        the data sets, and batches
        checkpoint trainer parallel
        probe inspect     what the features know, and where a model looks
    course/           the lectures: figures, claims, and the runs that take longer than a class
        plots/            the figures, a file a lecture
            drawing transformer text history image_gpt vit scaling clip
        runs/             python -m minivit.course.runs
            _keep image_gpt scaling clip
    grading/          the exercises, and the judge of the answers
        exercise properties report
        process/          what runs beside the student's code
            sandbox child runner protection
        judge ipython submission starter
        checks/           one file an exercise
        teachers/         hand out, collect, grade, report
            handed_in pages gradescope classroom nbgrader
    commands/         the command `minivit`
        shared check watch hint reset progress release grade
        classify complete embed info

A file imports only from what stands before it (tests/test_reading_order.py).

Shapes in comments: B batch, N tokens (M: keys), D width, H heads, P patch side, C channels or
classes, V vocabulary; H, W of an image are its height and width in pixels.
"""

from minivit import attention, convolution, functions, images, nn, optim, sampling, transformer
from minivit.attention import (
    MhSa,
    MultiHeadAttention,
    causal_mask,
    dot_product_attention,
    self_attention,
)
from minivit.engine import backend, check, errors, graph, operators
from minivit.engine.backend import default_device, manual_seed, use
from minivit.engine.ops import (
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
from minivit.engine.products import dot, einsum, matmul
from minivit.engine.record import OPS, detect_anomaly, no_grad, op
from minivit.engine.tensor import Tensor
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
from minivit.images import palette, patches
from minivit.nn import Module, Parameter
from minivit.sampling import decoding, generation

__version__ = "0.1.0"


def load(source, path=None):
    """A published model, with its tokenizer and preprocessing: minivit.published.load.

    clip = minivit.load("openai/clip-vit-base-patch32"); clip.model, clip.tokenizer, clip.preprocess
    """
    from minivit import published  # loaded when it is wanted

    return published.load(source, path)
