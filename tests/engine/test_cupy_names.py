"""Every name and keyword that minivit asks of `xp` exists in CuPy: read off the source, no GPU.

The list of names is tests/strict/cupy_api.json, made from CuPy's wheel. This check sees what no
test executes; it does not see methods of arrays (`x.sum(initial=0)`), which `strict` checks.
"""

import ast
import json
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from tests import strict

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"erf", "erfc"}  # numerics imports CuPy's from cupyx.scipy.special
API = strict.API
VERSION = API["versions"]["cupy"]


def problems(source, path="<source>"):
    """Names that CuPy lacks, one "path:line: sentence" each."""
    tree = ast.parse(source)
    inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    calls = {id(n.func): n for n in ast.walk(tree) if isinstance(n, ast.Call)}
    for node in ast.walk(tree):
        names = _after_xp(node)
        if names and id(node) not in inner:
            for sentence in _lacks(names, calls.get(id(node))):
                yield f"{path}:{node.lineno}: {sentence}"


def _after_xp(node):
    """xp.lib.stride_tricks, self.xp.exp -> what follows xp; [] for what does not begin with it."""
    names = []
    while isinstance(node, ast.Attribute) and node.attr != "xp":
        names.insert(0, node.attr)
        node = node.value
    begins = isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and node.id == "xp")
    return list(takewhile(lambda name: not name.startswith("__"), names)) if begins else []


def _lacks(names, call):
    space, spec, full = "", "", "xp"
    for name in names:
        full += f".{name}"
        if spec == "ufunc":
            space = "ufunc"
        elif spec:
            return  # an attribute of a function, such as __name__
        spec = API[space].get(name)
        if spec is None:
            if name not in ELSEWHERE:
                yield f"{full} does not exist in CuPy {VERSION}"
            return
        if spec == "":
            space = f"{space}.{name}".lstrip(".")
            if space not in API:
                return  # a number, a type, or a module that the list does not hold
    if call is None or not spec:
        return
    parameters = strict.signature(spec).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for keyword in call.keywords:
        if keyword.arg and keyword.arg not in known:
            yield f"{full} has no keyword {keyword.arg!r} in CuPy {VERSION}; it has {sorted(known)}"
    places = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    starred = any(isinstance(a, ast.Starred) for a in call.args)
    if not starred and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        if len(call.args) > places:
            yield f"{full} takes {places} positional arguments in CuPy {VERSION}"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "minivit").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_minivit_asks_nothing_of_xp_that_cupy_lacks(path):
    found = list(problems(path.read_text(), path.relative_to(ROOT)))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("y = xp.scatter_add(out, ids, g)", "xp.scatter_add does not exist"),
        ("with xp.errstate(all='ignore'): pass", "xp.errstate does not exist"),
        ("y = xp.linalg.vector_norm(x)", "xp.linalg.vector_norm does not exist"),
        ("y = xp.lib.stride_tricks.as_stride(x)", "xp.lib.stride_tricks.as_stride does not exist"),
        ("y = self.xp.einsum_path(x)", "xp.einsum_path does not exist"),
        ("f = xp.vecdot", "xp.vecdot does not exist"),
        ("f = xp.add.scatter", "xp.add.scatter does not exist"),
        ("y = xp.max(x, initial=0)", "xp.max has no keyword 'initial'"),
        ("y = xp.exp(x, where=mask)", "xp.exp has no keyword 'where'"),
        ("y = xp.add.reduce(x, initial=0)", "xp.add.reduce has no keyword 'initial'"),
        ("y = xp.einsum('ij->i', x, order='C')", "xp.einsum has no keyword 'order'"),
        ("y = xp.clip(x, 0, max=1)", "xp.clip has no keyword 'max'"),
        ("y = xp.take(x, i, 0, None, 'wrap')", "xp.take takes 4 positional arguments"),
        ("y = xp.asarray(x, device='cpu')", "xp.asarray has no keyword 'device'"),
    ],
)
def test_a_planted_bug_is_found_at_its_line(line, sentence):
    found = list(problems(f"import numpy as np\n\n\n{line}\n", "planted.py"))
    assert len(found) == 1
    assert found[0].startswith(f"planted.py:4: {sentence}")
    assert VERSION in found[0]


@pytest.mark.parametrize(
    "line",
    [
        "y = xp.exp(x, out=y) + xp.sum(x, axis=0, keepdims=True)",
        "xp.add.at(out, ids, g)",
        "y = xp.lib.stride_tricks.as_strided(x, shape, strides)",
        "y = xp.random.default_rng(0).choice(5)",  # what a generator has, `strict` checks
        "y = xp.zeros(shape, dtype=xp.float32) + xp.pi + xp.finfo(xp.float32).eps",
        "y = xp.__name__, xp.exp.__name__, xp.newaxis, xp.inf",
        "y = xp.sum(*args, **options); z = np.vecdot(x, x); w = np.max(x, initial=0)",
        "y = xp.linalg.norm(x, axis=-1, keepdims=True) + xp.matmul(x, y, out=z)",
    ],
)
def test_portable_lines_pass(line):
    assert list(problems(line)) == []


def test_the_list_is_that_of_the_installed_cupy():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed; its wheel needs no GPU")
    if cupy.__version__ != VERSION:
        pytest.skip(f"the list is of CuPy {VERSION}, installed is {cupy.__version__}")
    script = ROOT / "tests/strict/make_cupy_api.py"
    made = json.loads(subprocess.check_output([sys.executable, script], text=True))
    made["versions"]["numpy"] = API["versions"]["numpy"]
    assert made == API
