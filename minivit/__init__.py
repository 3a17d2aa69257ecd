"""minivit: Vision Transformers, from the first derivative to CLIP. The table of contents.

Each folder is a room: its name says who comes in. Each file is a chapter with one new idea.

    engine/           arrays that remember how they were made
        errors            what can go wrong, by name
        backend           which arrays: NumPy or CuPy
        memory            what the C library is told about memory
        numerics          what NumPy and CuPy spell differently
        special           erf, and the faster of two exponentials
        loops             some ops again, as loops that numba compiles
        fused             who asks for these loops gets them
        writes            which memory was written in place, and when
        graph             nodes, and the walk back through them
        tensor            an array that remembers how it was made
        modes             what is recorded, in which thread
        record            op: from a function of arrays to a function of Tensors
        recompute         memory for time: what is kept, and what is made again
        ops/              the primitives, each beside its derivative
            arithmetic reductions movement
        products          matmul, dot, einsum
        composed          NumPy's functions that are made of these
        operators         Python's operators, NumPy's functions
        check             doubt: is a derivative right?
    files             a file is written whole or not at all
    functions/        derived by hand
        activations       ReLU, sigmoid, SiLU, GELU
        losses            softmax, cross-entropy
        norms             LayerNorm, RMSNorm
        layers            linear, embedding, dropout
    nn/               modules: weights with names
        parameter         what is learnt, and the numbers that it begins with
        config            the arguments of a module, as a dict, and back
        module            Module: state, modes, devices
        layers            Linear, LayerNorm, Embedding, Dropout
    groups            which parameters an optimizer changes
    flat              parameters end to end: why an optimizer is fast
    optim             SGD, Adam, AdamW; schedules; clipping
    convolution       the other way to look at an image
    attention/        every token looks at the others
        textbook          scores, mask, softmax, values
        kernel            the same on arrays, with its derivative
        blocks            long sequences, whose scores are never all there
        dot_product       both as one op
        multihead         with projections, and with a cache
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
        flops             what a forward pass costs
    published/        what others trained, read into these models
        weights/          tensors from files that nobody trusts
            numbers tensors npz
        tables fields     from their names and configurations to ours
        vocabularies      their tokenizers
        resizing preprocess  their pictures
        sentences         one vector of the states of a text
        bert_layouts vit_layouts timm  relatives under other names
        bert gpt2 image_gpt marian vit clip clip_halves
        refused           what is not read, and why
        companions own    what `save` writes and `load` reads
        export            the layout of Hugging Face, written
        download hub      from the network, once
    training/         data, the loop, and a look at what was learned
        data downloaded pairs definitions    the data sets, and batches
        icon_cache icons icon_pairs    300,000 open icons, and what they are called
        checkpoint
        accumulation      the step of a large batch, a piece at a time
        ranks             several processes that work as one, and how that ends
        distributed       a part of the batch a rank, and one step
        agreement         what ranks must have in common
        launch            started, here or on the machines of a lab
        trainer parallel
        probe inspect     what the features know, and where a model looks
    course/           the lectures: figures, claims, and the runs that take longer than a class
        register          which figures and claims there are, and what became of them
        kept              results of long cells, for a browser to show
        style             one look for all figures
        plots/            the figures, a file a lecture
            drawing published diagrams transformer text history image_gpt
            image_gpt_results vit scaling clip clip_results icons ranks
        runs/             python -m minivit.course.runs
            results plans image_gpt canvas scaling clip
            verdicts bias readouts dictionary masked_patches iconnet icon_exam icon_clip
            icon_variants icon_few_shot judged digits
    grading/          the exercises, and the judge of the answers
        exercise figures numeric properties report
        process/          what runs beside the student's code
            sandbox child runner inside protection
        judge ipython submission starter
        checks/           one file an exercise
        teachers/         hand out, collect, grade, report
            names archives layouts handed_in marks workshop judging kept results
            exports similar pages gradescope markup nbgrader classroom
    commands/         the command `minivit`
        shared check watch hint reset built beside build progress release grade
        classify complete embed search fill info export data

A file imports only from what stands before it (tests/test_reading_order.py).

Shapes in comments: B batch, N tokens (M: keys), D width, H heads, P patch side, C channels or
classes, V vocabulary; H, W of an image are its height and width in pixels.
"""

from importlib import import_module

from minivit.engine import backend, errors, graph, operators
from minivit.engine.backend import default_device, manual_seed, use
from minivit.engine.composed import expand_dims, moveaxis, ravel, squeeze
from minivit.engine.fused import fused
from minivit.engine.modes import detect_anomaly, no_grad
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
    prod,
    reshape,
    split,
    sqrt,
    stack,
    std,
    subtract,
    sum,
    swapaxes,
    tanh,
    transpose,
    var,
    where,
)
from minivit.engine.products import dot, einsum, matmul
from minivit.engine.record import op
from minivit.engine.tensor import Tensor

__version__ = "0.1.0"

_LATER = {  # imported when they are wanted, so that `import minivit` costs little more than NumPy's
    "minivit.functions": "cross_entropy_loss dropout embedding gelu l2_normalize layer_norm linear "
    "log_softmax logsumexp relu rms_norm sigmoid silu softmax",
    "minivit.nn": "Module Parameter",
    "minivit.attention": "MhSa MultiHeadAttention causal_mask dot_product_attention self_attention",
    "minivit.convolution": "",
    "minivit.transformer": "",
    "minivit.optim": "",
    "minivit.engine.check": "gradcheck",
    "minivit.engine.recompute": "recompute",
}
_PLACES = {name: room for room, names in _LATER.items() for name in names.split()}
_ROOMS = {room.rpartition(".")[2]: room for room in _LATER}


def __getattr__(name):
    if name == "OPS":  # every operation there is: the rooms that define some come first
        for room in _LATER:
            import_module(room)
        found = import_module("minivit.engine.record").OPS
    elif name in _PLACES:
        found = getattr(import_module(_PLACES[name]), name)
    elif name in _ROOMS:
        found = import_module(_ROOMS[name])
    else:
        raise AttributeError(f"module 'minivit' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__():
    return sorted({*globals(), *_ROOMS, *_PLACES, "OPS"})


def load(source, path=None, classes=()):
    """A model, with its tokenizer and preprocessing: minivit.published.load.

    minivit.load("emoji")                         # a small one that ships
    minivit.load("runs/digits").model             # what `save` or a Trainer wrote
    minivit.load("openai/clip-vit-base-patch32")  # downloaded once: .model, .tokenizer, .preprocess
    """
    from minivit import published  # loaded when it is wanted

    return published.load(source, path, classes)


def save(
    model, folder, tokenizer=None, preprocess=None, labels=None, sentences=None, dtype=None
):  # fmt: skip
    """Write a model, and what belongs to it, into a folder that `load` reads; returns its path.

    All or nothing, also over the folder that it was loaded from: minivit.published.own.save.
    """
    from minivit.published import own

    return own.save(model, folder, tokenizer, preprocess, labels, sentences, dtype)
