"""Things to move: the widgets of the pages, small ES modules in widgets/, and what they show.

A cell of a lecture says that one stands after it: `# %% widget="softmax"`. Scripts and numbers
stand in the page itself, so it works from a disk, without a network; without JavaScript it shows a
still. The numbers come from minivit when the page is made.
"""

import base64
import functools
import io
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pages
import thumbnails

import minivit
from minivit import Tensor, files, no_grad
from minivit.text import BPE
from minivit.training import data
from minivit.training.pairs import NEW_STYLE

SOURCES = Path(__file__).with_name("widgets")
IMPORT = re.compile(r'^import [^;]*? from "\./(\w+)\.js";\n', re.MULTILINE)


class Widget(NamedTuple):
    title: str
    ask: str  # what to try
    still: str | None  # the gallery's figure for where nothing moves; None: a table of the numbers
    numbers: object  # a function that returns what the module's `show` gets


# -- what they show --------------------------------------------------------------------------------
def picture(image, kind="PNG"):
    """Pixels (H, W, 3) in [-1, 1] as a data: address."""
    from PIL import Image

    out = io.BytesIO()
    pixels = np.rint((image + 1) * 127.5).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(out, kind, **({"quality": 88} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


@functools.cache
def clip():
    return minivit.load("emoji")


def emoji_named(*names):
    """The pictures of these emoji in the style that no model was trained on: (n, 32, 32, 3)."""
    emoji = data.emoji((NEW_STYLE,))
    concepts = list(emoji.concepts[NEW_STYLE])
    return np.stack(
        [emoji.images[NEW_STYLE][concepts.index(emoji.labels.index(name))] for name in names]
    )


@no_grad()
def softmax_numbers():
    names = ["pizza", "red heart", "cat face", "airplane", "crescent moon"]
    model = clip().model
    I = model.encode_image(Tensor(emoji_named("pizza"))).numpy()
    T = model.encode_text(clip().tokenizer(names)).numpy()
    return {"names": names, "cosines": (I @ T.T)[0].tolist(), "t": model.t.item()}


def patches_numbers():
    return {"photo": picture(data.photo("chelsea"), "JPEG"), "alt": "A photo of a cat"}


def tokenizer_numbers(tokenizer):
    """What bpe.js needs of a BPE."""
    symbols = dict.fromkeys([*tokenizer.alphabet(), *map("".join, tokenizer.merges)])
    assert [*symbols, *tokenizer.special_tokens] == tokenizer.symbols
    return {
        "merges": [" ".join(pair) for pair in tokenizer.merges],
        "special": tokenizer.special_tokens,
        "endOfWord": tokenizer.end_of_word,
    }


@functools.cache
def lecture_bpe():
    """The tokenizer that lecture 3 trains."""
    return BPE.train(data.sentences()[:19_000], 1000, special_tokens=("<|endoftext|>",))


def merges_numbers():
    return {"tokenizer": tokenizer_numbers(lecture_bpe()), "text": "measure the height"}


def tensor(array):
    """Numbers as text, 16 bits each, which loses nothing of a model that ships."""
    small = np.asarray(array, np.float32).astype("<f2")
    assert np.array_equal(small, np.asarray(array, np.float32))
    return {"shape": small.shape, "float16": base64.b64encode(small.tobytes()).decode()}


def stack_of(layers):
    """What arrays.js needs to know of Transformer layers besides their weights."""
    return {"layers": len(layers), "heads": layers[0].attn.num_heads, "eps": layers[0].ln_1.eps,
            "activation": layers[0].mlp.activation}  # fmt: skip


@functools.cache
def digits_vit():
    return minivit.load("digits").model


def attention_numbers():
    model, digits = digits_vit(), data.digits()
    assert model.norm.eps == model.layers[0].ln_1.eps
    first = [int(np.argmax(digits.test_labels == label)) for label in range(10)]
    levels = np.rint((digits.test_images[first, :, :, 0] + 1) * 8).astype(int)
    return {
        "model": {
            "config": {"patch": model.patch, **stack_of(model.layers)},
            "weights": {name: tensor(t.numpy()) for name, t in model.named_tensors()},
        },
        "digits": [{"label": i, "levels": rows.tolist()} for i, rows in enumerate(levels)],
    }


# Numbers that want a gradient, numbers that do not, and what is computed of them, line by line.
EXPRESSIONS = {
    "a neuron and its error: (tanh(w x + b) − y)²": (
        {"w": 0.8, "b": -0.5}, {"x": 1.5, "y": 1.0},
        {"p": "w * x", "s": "p + b", "a": "np.tanh(s)", "e": "a - y", "loss": "e * e"},
    ),
    "a shared weight, as in a residual path: (w (x + w x))²": (
        {"w": 0.5, "x": 2.0}, {},
        {"f": "w * x", "r": "x + f", "o": "w * r", "loss": "o * o"},
    ),
    "the loss of two classes: log(exp(z1) + exp(z2)) − z2": (
        {"z1": 1.0, "z2": 0.2}, {},
        {"e1": "np.exp(z1)", "e2": "np.exp(z2)", "sum": "e1 + e2", "l": "np.log(sum)",
         "loss": "l - z2"},
    ),
}  # fmt: skip


def walked(title, wanted, given, lines):
    """An expression as the engine computes it and walks back: its rows, and the walk's steps."""
    known = {name: Tensor(np.float64(x), requires_grad=True) for name, x in wanted.items()}
    known |= {name: Tensor(np.float64(x)) for name, x in given.items()}
    made = {**dict.fromkeys(wanted, "a number to learn"), **dict.fromkeys(given, "given"), **lines}
    for name, line in lines.items():
        known[name] = eval(line, {"np": np}, known)
    names = {id(t.node or t): name for name, t in known.items()}
    steps = []
    for node, g, gradients in known["loss"].walk_back():
        sends = [
            (names[id(parent)], None if gp is None else float(gp))
            for parent, gp in zip(node.parents, gradients, strict=True)
        ]
        steps.append({"node": names[id(node)], "op": node.op, "gradient": float(g), "sends": sends})
    order = [*reversed(lines), *wanted, *given]
    return {
        "title": title,
        "rows": [{"name": n, "made": made[n], "value": known[n].item()} for n in order],
        "steps": steps,
        "leaves": {name: float(known[name].grad) for name in wanted},
    }


def backward_numbers():
    return [walked(title, *rest) for title, rest in EXPRESSIONS.items()]


@no_grad()
def clip_numbers():
    model, tokenizer = clip().model, clip().tokenizer
    names = ["pizza", "red heart", "cat face", "soccer ball", "airplane", "crescent moon",
             "dog face", "tulip", "sailboat", "banana"]  # fmt: skip
    pictures = emoji_named(*names)
    I_e = model.encode_image(Tensor(pictures)).numpy()
    text = model.text_encoder
    weights = {name: tensor(t.numpy()) for name, t in text.named_tensors()}
    return {
        "encoder": {
            "config": {"t": model.t.item(), "context": text.context, **stack_of(text.layers)},
            "weights": weights | {"W_t": tensor(model.W_t.numpy())},
            "tokenizer": tokenizer_numbers(tokenizer),
        },
        "pictures": [
            {"name": name, "source": picture(image), "I_e": row.tolist()}
            for name, image, row in zip(names, pictures, I_e)
        ],
        "labels": names[:6],
    }


WIDGETS = {
    "patches": Widget(
        "Patch size and N = HW/P²",
        "Halve the patch side: how many times longer is the sequence, and how many times more does "
        "attention cost?",
        "F19",
        patches_numbers,
    ),
    "merges": Widget(
        "The merges of byte-pair encoding",
        "Type a text and step through its merges. Which words stay in pieces?",
        "F06",
        merges_numbers,
    ),
    "backward": Widget(
        "The backward pass, node by node",
        "Which node comes next, and what does it send to whom? Say it, then step. Where do two "
        "gradients add?",
        None,
        backward_numbers,
    ),
    "attention": Widget(
        "Where a ViT looks",
        "Draw a digit. The 16 maps show what one token looks at in each layer and head: first "
        "[class], then any patch.",
        "F20",
        attention_numbers,
    ),
    "softmax": Widget(
        "Softmax and exp(t)",
        "The cosines of a picture of a pizza with five names, by our CLIP. How large must exp(t) "
        "be for 90% on one of them? Then move a cosine.",
        "F32",
        softmax_numbers,
    ),
    "clip": Widget(
        "A classifier made of text",
        "Type other labels, with commas between. Add a wrong one that beats the right one; try "
        "“a drawing of a pizza”.",
        "F36",
        clip_numbers,
    ),
}


# -- pages -----------------------------------------------------------------------------------------
def of_notebook(notebook):
    """The names of the widgets that stand in a notebook, in order."""
    return [cell.metadata["widget"] for cell in notebook.cells if "widget" in cell.metadata]


def parts(names):
    """What a page needs to show these widgets: their rows, and one script with all modules."""
    rows = {name: _row(name) for name in names}
    return {"rows": rows, "script": pages.markup(bundle(names)) if names else ""}


@functools.cache
def _row(name):
    widget = WIDGETS[name]
    numbers = widget.numbers()
    text = json.dumps(numbers, ensure_ascii=False, separators=(",", ":"))
    still = widget.still and pages.GALLERY / f"{widget.still}.png"
    return {
        "name": name,
        "title": widget.title,
        "ask": widget.ask,
        "figure": widget.still,
        "alt": thumbnails.alt_text(still) if still else "",
        "steps": () if still else numbers[0]["steps"],
        "numbers": pages.markup(text.replace("<", "\\u003c")),
    }


def bundle(names):
    """The modules of these widgets and what they import as one, each after what it imports: a page
    that is opened from a disk may not import another file."""
    order = []

    def visit(name):
        source = (SOURCES / f"{name}.js").read_text(encoding="utf-8")
        for other in IMPORT.findall(source):
            visit(other)
        if name not in order:
            order.append(name)

    for name in names:
        visit(name)
    return "\n".join(_alone(name) for name in order)


def _alone(name):
    """A module without imports; its names are its own, but for those that it exports."""
    source = IMPORT.sub("", (SOURCES / f"{name}.js").read_text(encoding="utf-8"))
    exported = re.findall(r"^export (?:const|function|class) (\w+)", source, re.MULTILINE)
    body = re.sub(r"^export ", "", source, flags=re.MULTILINE)
    if not exported:
        return f"(() => {{\n{body}}})();"
    names = ", ".join(exported)
    return f"const {{ {names} }} = (() => {{\n{body}return {{ {names} }};\n}})();"


def write(build, ways, lectures):
    """Write build/widgets/: one page with all of them. lectures: {name: {"title", "file"}}, where
    each stands."""
    for widget in filter(lambda widget: widget.still, WIDGETS.values()):
        still = (pages.GALLERY / f"{widget.still}.png").read_bytes()
        files.write_whole(build / "widgets" / f"{widget.still}.png", still)
    page = pages.render(
        "widgets.html.j2", "../", ways, **parts(WIDGETS), lectures=lectures,
        widget_style=pages.sheet("widgets.css"),
    )  # fmt: skip
    files.write_whole(build / "widgets" / "index.html", page)
