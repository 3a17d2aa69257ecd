"""The process in which a student's code runs, and nothing of the judge does.

`runner.py` starts this file as `python -I child.py`, so it imports NumPy and the standard library
only. Requests come on its standard input and replies leave on its standard output, which the
student's code never sees: before any of it runs, both are moved to other descriptors and
`print` writes into a buffer. A message is

    length (8 bytes) | length of the header (4 bytes) | header: JSON | the arrays' bytes

Arrays travel as dtype, shape and bytes, so there is nothing to unpickle on either side.
"""

import __future__

import ast
import contextlib
import io
import json
import math
import os
import re
import runpy
import struct
import symtable
import sys
import types
import warnings

import numpy as np

LARGEST_MESSAGE = 1 << 24  # bytes
LARGEST_HEADER = 1 << 16  # bytes, of a reply: a student's code may have written it
DEEPEST = 8  # lists in lists
PRINTED = 2000  # characters of a student's output that are kept per call
BLOCKED = {"minivit", "torch", "jax", "tensorflow", "autograd", "mlx", "tinygrad"}
STARTER_IMPORTS = "minivit.grading"  # exists here too, with names that do nothing


# -- the wire --------------------------------------------------------------------------------------
def send(stream, message, largest_header=LARGEST_MESSAGE):
    """Write `message`: numbers, strings, lists, dicts and arrays of numbers, nested."""
    blobs = []

    def encode(value):
        if isinstance(value, (np.ndarray, np.generic)):
            value = np.asarray(value)
            if value.dtype.kind not in "biufc":
                return {"other": f"an array of dtype {value.dtype}"[:PRINTED]}
            blobs.append(np.ascontiguousarray(value).tobytes())
            return {"dtype": value.dtype.str, "shape": list(value.shape)}
        if isinstance(value, (list, tuple)):
            return [encode(v) for v in value]
        if isinstance(value, dict):
            return {"dict": {str(k): encode(v) for k, v in value.items()}}
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        return {"other": f"a {type(value).__name__}"}

    header = json.dumps(encode(message)).encode()
    if len(header) > largest_header:
        raise ValueError(f"lists and texts of {len(header)} characters; arrays are passed on")
    body = struct.pack(">I", len(header)) + header + b"".join(blobs)
    if len(body) > LARGEST_MESSAGE:
        raise ValueError(f"arrays of {len(body)} bytes; at most {LARGEST_MESSAGE} are passed on")
    stream.write(struct.pack(">Q", len(body)) + body)
    stream.flush()


class Other(str):
    """A value that cannot cross: its description."""


def receive(stream, trusted=True):
    """Read one message; EOFError when the other side is gone, ValueError when it is no message.

    One that is not `trusted` is small, and its text has nothing in it that does not print.
    """
    length = struct.unpack(">Q", _exactly(stream, 8))[0]
    if not 4 <= length <= LARGEST_MESSAGE:
        raise ValueError(f"a message of {length} bytes")
    body = _exactly(stream, length)
    start = 4 + struct.unpack(">I", body[:4])[0]
    if not trusted and start - 4 > LARGEST_HEADER:
        raise ValueError(f"a header of {start - 4} bytes")
    header = json.loads(body[4:start])

    def decode(value, depth=0):
        nonlocal start
        if depth > DEEPEST:
            raise ValueError("too many lists in lists")
        if isinstance(value, list):
            return [decode(v, depth + 1) for v in value]
        if isinstance(value, str) and not trusted:
            return printable(value[: 2 * PRINTED])
        if not isinstance(value, dict):
            return value
        if "dict" in value:
            return {k: decode(v, depth + 1) for k, v in value["dict"].items()}
        if "other" in value:
            return Other(decode(value["other"], depth + 1))
        kind, shape = value["dtype"], value["shape"]
        if not (isinstance(kind, str) and re.fullmatch("[<>|][biufc][0-9]{1,2}", kind)):
            raise ValueError("an array of something else than numbers")
        if not all(type(n) is int and 0 <= n < 1 << 31 for n in shape):
            raise ValueError("an array whose shape is none")
        dtype, count = np.dtype(kind), math.prod(shape)
        array = np.frombuffer(body, dtype, count, start).reshape(shape).copy()
        start += array.nbytes
        return array

    return decode(header)


def printable(text):
    """Without what a terminal would obey: control characters, directions, halves of characters."""
    return "".join(
        c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def _exactly(stream, count):
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


# -- running the student's code --------------------------------------------------------------------
class TodoError(NotImplementedError):
    """Stands in for the starter's TodoError: this place has not been written yet."""


class Printed(io.TextIOBase):
    """Keeps the first characters that were written, so that an endless print fills nothing."""

    def __init__(self):
        self.text = ""

    def writable(self):
        return True

    def write(self, text):
        self.text += text[: PRINTED - len(self.text)]
        return len(text)

    def take(self):
        text, self.text = self.text, ""
        return text


class Blocked:
    """Refuses to import what would answer an exercise that is to be written in plain NumPy."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"an exercise is written in plain NumPy, without {name}")


class Statement:
    """One statement at the top level of a student's code: what it binds and what it refers to."""

    def __init__(self, label, node):
        self.label, self.node, self.wanted = label, node, False
        self.defines = isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom))
        self.binds, self.uses = set(), set()
        table = symtable.symtable(ast.unparse(node), label, "exec")
        for symbol in table.get_symbols():
            if symbol.is_assigned() or symbol.is_imported():
                self.binds.add(symbol.get_name())
            if symbol.is_referenced():
                self.uses.add(symbol.get_name())
        inner = table.get_children()
        while inner:
            table = inner.pop()
            inner += table.get_children()
            self.uses |= {s.get_name() for s in table.get_symbols() if s.is_global()}
        self.future = 0  # flags of the compiler, for this statement and all later ones
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            self.binds.add("*")
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            self.binds.add("*")
            names = [getattr(__future__, alias.name) for alias in node.names]
            self.future = sum(feature.compiler_flag for feature in names)


def choose(statements, name):
    """The statements that the function `name` needs, in order.

    Its definition, the definitions it uses, and what fills a table that it reads. A cell that
    tries the function out is left alone: if it fails, hangs or prints, that is no matter.
    """
    results = {name}  # what is made by calling the function
    for s in statements:
        if not s.defines and s.uses & results:
            results |= s.binds
    needed, data, grown = {name, "*"}, set(), True
    while grown:
        grown = False
        for s in statements:
            fills = s.uses & data and (s.defines or not s.uses & results)
            if not s.wanted and (s.binds & needed or fills):
                s.wanted = grown = True
                needed |= s.uses
                if not s.defines:
                    data |= s.binds - {name}
    return [s for s in statements if s.wanted]


class Submission:
    """The namespace of a student's cells, and calls of one function in it."""

    def __init__(self, cells, name):
        self.lines = {}  # label of a cell -> {line number: text}
        self.name = name
        module = types.ModuleType("submission")
        sys.modules["submission"] = module
        module.display = print  # a notebook has it
        statements, broken, flags = [], [], 0
        for label, first, text in cells:
            self.lines.setdefault(label, {}).update(enumerate(text.split("\n"), first))
            try:
                tree = ast.parse("\n" * (first - 1) + text, label)
                statements += [Statement(label, node) for node in tree.body]
            except BaseException as error:
                broken.append(self.explain(error))
        self.others = [s.node.name[:60] for s in statements if isinstance(s.node, ast.FunctionDef)]
        failed = {}  # name -> why it could not be bound
        for s in choose(statements, name):
            try:
                flags |= s.future
                module_of_one = ast.Module([s.node], [])
                code = compile(module_of_one, s.label, "exec", flags, dont_inherit=True)
                exec(code, vars(module))
                failed = {k: why for k, why in failed.items() if k not in s.binds}
            except BaseException as error:
                failed |= dict.fromkeys(s.binds, self.explain(error))
        self.function = vars(module).get(name)
        self.trouble = next(iter(failed.values()), None)
        if not callable(self.function) and broken:
            self.trouble = broken[0]

    def loaded(self):
        """None, or why there is no function to call."""
        if self.trouble:
            kind = "todo" if self.trouble["kind"] == "todo" else "load"  # a cell met the stub
            return {"kind": kind, "text": self.trouble["text"]}
        if callable(self.function):
            return None
        if not any(text.strip() for lines in self.lines.values() for text in lines.values()):
            return {"kind": "load", "text": "the file is empty"}
        there = f"; there is {', '.join(self.others[:3])}" if self.others else ""
        return {"kind": "load", "text": f"no function {self.name} is defined{there}"}

    def explain(self, error):
        """An exception as text, with the student's own line where it was raised."""
        if isinstance(error, TodoError):
            return {"kind": "todo", "text": str(error)}
        try:
            what = str(error.msg if isinstance(error, SyntaxError) else error)
        except BaseException:
            what = "(its message cannot be read)"
        where = (error.filename, error.lineno) if isinstance(error, SyntaxError) else None
        frame = error.__traceback__
        while frame is not None:  # the innermost line that is the student's
            if frame.tb_frame.f_code.co_filename in self.lines:
                where = (frame.tb_frame.f_code.co_filename, frame.tb_lineno)
            frame = frame.tb_next
        what = re.sub(r"0x[0-9a-fA-F]{6,}", "0x…", what[:PRINTED])  # addresses differ between runs
        text = f"{type(error).__name__}: {what}" if what else type(error).__name__
        if where and where[0] in self.lines:
            line = self.lines[where[0]].get(where[1], "").strip()[:PRINTED]
            text += f"\n  {where[0]}, line {where[1]}: {line}"
            if line.startswith(("<<<<<<<", "=======", ">>>>>>>")):
                text += "\n  A merge left its marks here: keep one of the two versions."
        return {"kind": "exception", "text": text}

    def run(self, request, reply):
        """Answer one call: first the value, then, where there is a `g`, what its vjp returns."""
        inputs, g, count = request["inputs"], request["g"], request["gradients"]
        np.random.seed(0)  # noqa: NPY002 (whoever draws from it draws the same twice)
        try:
            value, vjp = self.forward(inputs, count)
            reply({"value": value})
            for other in request["others"]:
                with contextlib.suppress(Exception):  # it may be no input that the page allows
                    self.forward(other, count)
            gradients = self.backward(vjp, g, count)
            shared = [shares(result, [*inputs, g]) for result in (value, *gradients)]
            reply({"gradients": gradients, "after": [*inputs, g], "shared": shared})
            if request["others"]:
                later = value.copy() if isinstance(value, np.ndarray) else value
                again = self.backward(vjp, g, count)
                again = [self.forward(inputs, count)[0], *again]
                kept = [shares(a, [b]) is not None for a, b in zip(again, (value, *gradients))]
                reply({"again": [later, *again], "kept": kept})
        except Contract as error:
            reply({"error": {"kind": "exception", "text": str(error)[:PRINTED]}})
        except BaseException as error:
            reply({"error": self.explain(error)})

    def forward(self, inputs, count):
        """(value, vjp); there is no vjp where an exercise has no gradients."""
        value = self.function(*inputs)
        if not count:
            return value, None
        pair = isinstance(value, (tuple, list)) and len(value) == 2
        if not (pair and callable(value[1])):
            text = f"{self.name} must return (y, vjp), an array and a function of g"
            raise Contract(f"{text}; it returned {describe(value)}")
        return value

    def backward(self, vjp, g, count):
        if g is None:
            return []
        gradients = vjp(g)
        if count == 1 and isinstance(gradients, np.ndarray):
            return [gradients]
        if not isinstance(gradients, (tuple, list)) or len(gradients) != count:
            text = f"vjp(g) must return a tuple of {count} gradients"
            raise Contract(f"{text}; it returned {describe(gradients)}")
        return list(gradients)


def shares(result, arguments):
    """The place of the argument whose memory a result uses, or None."""
    for i, argument in enumerate(arguments):
        if isinstance(argument, np.ndarray) and isinstance(result, np.ndarray):
            if np.may_share_memory(argument, result):
                return i
        elif isinstance(argument, list) and result is argument:
            return i
    return None


class Contract(Exception):
    """A function's result is of another kind than its exercise asks for."""


def describe(value):
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(map(describe, value))}"
    return "None" if value is None else f"a {type(value).__name__}"


def stand_in():
    """Make `from minivit.grading import TodoError, check` work, and no other minivit."""
    names = STARTER_IMPORTS.split(".")
    for i in range(len(names)):
        module = types.ModuleType(".".join(names[: i + 1]))
        module.__path__ = []
        sys.modules[module.__name__] = module
    module.TodoError = TodoError
    module.check = module.gradient_errors = lambda *args, **kwargs: 0
    for part in ("exercise", "submission"):
        sys.modules[f"{STARTER_IMPORTS}.{part}"] = module
    for name in [n for n in sys.modules if n.split(".")[0] in BLOCKED]:
        if not STARTER_IMPORTS.startswith(name) and sys.modules[name] is not module:
            del sys.modules[name]
    sys.meta_path.insert(0, Blocked())
    sys.path[:] = [p for p in sys.path if not p.endswith(("site-packages", "dist-packages"))]


def packages():
    """The folders of NumPy and of the libraries that its wheel brings."""
    return [os.path.dirname(np.__file__) + end for end in ("", ".libs")]


def main():
    """Serve requests until the judge closes the pipe."""
    sandbox = runpy.run_path(os.path.join(os.path.dirname(__file__), "sandbox.py"))
    sandbox["die_with"](int(sys.argv[1]))
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    printed = sys.stdout = sys.stderr = Printed()
    plain = warnings.formatwarning  # without the line of the source, which may not be at hand
    warnings.formatwarning = lambda *args: plain(*args[:4], line="")
    stand_in()
    first = receive(requests)
    sandbox["enter"](os.getcwd(), packages(), **first["limits"])
    send(replies, {"ready": True})  # what goes wrong up to here is not the student's
    submission = Submission(first["cells"], first["name"])
    send(replies, {"error": submission.loaded(), "printed": printed.take()})

    def reply(message):
        send(replies, {**message, "printed": printed.take()}, LARGEST_HEADER)

    while True:
        try:
            request = receive(requests)
        except EOFError:
            os._exit(0)
        submission.run(request, reply)


if __name__ == "__main__":
    main()
