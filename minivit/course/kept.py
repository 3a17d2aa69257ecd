"""Results of long cells, kept, so that a browser shows them where training would take minutes.

    record(notebook, folder)       in its kernel: each cell that takes LONG leaves a file there
    %load_ext minivit.course.kept
    %%kept file                    a cell's first line: what was kept, in place of running the cell

A kept file is a line of JSON, which says what it is and where it was made, and then the variables:
those that the cell made or changed and that later cells read. Pickled, so it is for files of one's
own site alone.
"""

import ast
import hashlib
import io
import json
import pickle
import platform
import sys
import time
import zlib
from pathlib import Path

from minivit import files

LONG = 1.0  # seconds of a processor; a browser, which has no BLAS, takes 10 to 50 times as long
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)  # these run in any case
IMPORTS = (ast.Import, ast.ImportFrom)  # a cell with one is not kept: the browser's kernel fetches
# the packages that a plain cell imports, and cannot read one that begins with %%kept
NOT_KEPT = (type(sys), type, type(lambda: 0), type(len))  # what they bind


# -- which variables -------------------------------------------------------------------------------
def read_by(codes, before=()):
    """The names that cells read before they bind them; `before`: cells that ran already, of which
    the functions may be called."""
    read, bound = set(), set()
    for part in [part for code in before for part in _parts(code)]:
        if isinstance(part, (ast.FunctionDef, ast.ClassDef)):
            read |= _reads(part)
    for part in [part for code in codes for part in _parts(code)]:
        read |= _reads(part) - bound
        if isinstance(part, ast.Assign):
            bound |= {n.id for target in part.targets for n in ast.walk(target) if _is_name(n)}
    return read


def _parts(code):
    """The statements of a cell; what only a notebook understands has none."""
    try:
        return ast.parse(code).body
    except SyntaxError:
        return []


def _reads(part):
    """The names that a statement reads, and those that it may delete or add to."""
    found = {n.id for n in ast.walk(part) if _is_name(n) and not isinstance(n.ctx, ast.Store)}
    added = [n.target for n in ast.walk(part) if isinstance(n, ast.AugAssign)]
    return found | {target.id for target in added if _is_name(target)}


def _is_name(node):
    return isinstance(node, ast.Name)


# -- recording -------------------------------------------------------------------------------------
class Recorder:
    """Keeps the results of a notebook's long cells, as they run in an IPython shell."""

    def __init__(self, shell, notebook, folder):
        cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
        self.cells = [(c["id"], "".join(c["source"])) for c in cells if c["cell_type"] == "code"]
        self.shell, self.folder, self.place = shell, Path(folder), -1
        self.code = None  # of the cell that runs, if it is one of these
        shell.events.register("pre_run_cell", self.before)
        shell.events.register("post_run_cell", self.after)

    def before(self, info):
        sources = [source for _, source in self.cells]
        found = info.raw_cell in sources[self.place + 1 :]
        self.place = sources.index(info.raw_cell, self.place + 1) if found else self.place
        self.code = info.raw_cell if found else None
        self.was = self._variables()
        used = {name for part in _parts(info.raw_cell) for name in _reads(part)}
        self.sums = {name: _sum(self.was[name]) for name in used & set(self.was)}
        self.start = time.process_time()

    def after(self, result):
        if self.code is None:  # none of these, or the one in which recording began
            return
        seconds = time.process_time() - self.start
        imports = any(isinstance(part, IMPORTS) for part in _parts(self.code))
        if not result.success or seconds < LONG or imports:
            return
        sources = [source for _, source in self.cells]
        read = read_by(sources[self.place + 1 :], sources[: self.place + 1])
        now = self._variables()
        changed = {
            name: value
            for name, value in now.items()
            if value is not self.was.get(name, self)
            or (name in self.sums and _sum(value) != self.sums[name])
        }
        touched = _within(changed)
        kept = {n: v for n, v in now.items() if n in read and (n in changed or id(v) in touched)}
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {"cell": self.code, "seconds": round(seconds, 1), "made": _made(), "outputs": []}
        path = self.folder / f"{self.cells[self.place][0]}.kept"
        files.write_whole(path, packed(about, _dump(kept)))

    def _variables(self):
        return {
            name: value
            for name, value in self.shell.user_ns.items()
            if name not in self.shell.user_ns_hidden and not isinstance(value, NOT_KEPT)
        }


def record(notebook, folder):
    """Keep what the long cells of `notebook`, which runs in this kernel, make."""
    from IPython import get_ipython

    return Recorder(get_ipython(), notebook, folder)


def _dump(variables):
    """All in one pickle, for they may hold each other; without those that cannot be pickled."""
    able = {name: value for name, value in variables.items() if _sum(value) is not None}
    return pickle.dumps(able, protocol=5)


def _sum(value):
    """The SHA-256 of a value; None where it cannot be pickled."""
    try:
        return hashlib.sha256(pickle.dumps(value, protocol=5)).digest()
    except Exception:  # a generator, a graph, an open file: whatever it says
        return None


def _within(variables):
    """The ids of all objects that these hold."""
    ids = set()

    class Walk(pickle.Pickler):
        def persistent_id(self, value):
            ids.add(id(value))

    for value in variables.values():
        if _sum(value) is not None:
            Walk(io.BytesIO(), protocol=5).dump(value)
    return ids


def _made():
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d')} on {machine}"


def packed(about, variables):
    """The bytes of a kept file."""
    return json.dumps(about).encode() + b"\n" + zlib.compress(variables)


def unpacked(content):
    """(about, bytes of the variables) of a kept file."""
    head, _, rest = content.partition(b"\n")
    return json.loads(head), zlib.decompress(rest)


# -- showing ---------------------------------------------------------------------------------------
def load_ipython_extension(shell):
    """Make %%kept known: `%load_ext minivit.course.kept`."""

    def kept(line, cell):
        path = Path(line.split()[0])
        about, variables = unpacked(path.read_bytes()) if path.is_file() else ({}, b"")
        if about.get("cell", "").strip() != cell.strip():
            print("This cell is another than the kept one: it runs here.", flush=True)
            shell.run_cell(cell)
            return
        defined = [part for part in _parts(cell) if isinstance(part, DEFINITIONS)]
        exec(compile(ast.Module(defined, []), "<kept>", "exec"), shell.user_ns)
        shell.user_ns.update(pickle.loads(variables))
        for output in about["outputs"]:
            _show(shell, output)
        print(
            f"Kept: made {about['made']}, in {about['seconds']:g} s. Nothing was computed here; "
            "delete the first line to run the cell."
        )

    shell.register_magic_function(kept, "cell")


def _show(shell, output):
    if output["output_type"] == "stream" and output["name"] == "stdout":
        print("".join(output["text"]), end="")
    elif output["output_type"] in ("display_data", "execute_result"):
        shell.display_pub.publish(output["data"], output.get("metadata", {}))
