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
    still: str | None  # the figure of the gallery that serves where nothing moves
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
    "softmax": Widget(
        "Softmax and exp(t)",
        "The cosines of a picture of a pizza with five names, by our CLIP. How large must exp(t) "
        "be for 90% on one of them? Then move a cosine.",
        "F32",
        softmax_numbers,
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
    numbers = json.dumps(widget.numbers(), ensure_ascii=False, separators=(",", ":"))
    still = pages.GALLERY / f"{widget.still}.png"
    return {
        "name": name,
        "title": widget.title,
        "ask": widget.ask,
        "figure": widget.still,
        "alt": thumbnails.alt_text(still),
        "numbers": pages.markup(numbers.replace("<", "\\u003c")),
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
    for widget in WIDGETS.values():
        still = (pages.GALLERY / f"{widget.still}.png").read_bytes()
        files.write_whole(build / "widgets" / f"{widget.still}.png", still)
    page = pages.render(
        "widgets.html.j2", "../", ways, **parts(WIDGETS), lectures=lectures,
        widget_style=pages.sheet("widgets.css"),
    )  # fmt: skip
    files.write_whole(build / "widgets" / "index.html", page)
