"""Submissions to exercise 16 that mean harm, or are broken: what each does, and what it earns.

An attack is the body of a function that runs before an answer that is worth WORTH points. It prints
GOT THROUGH where it did what it should not. All that it may touch is made by the test and named in
its first lines: CANARY (a file), OUT and CLASS (folders), VICTIM (a process that sleeps), PORT (a
server); test_attacks.py fills them in. Each bomb has a bound, should nothing else stop it.
"""

from tests.grading import evasions, ruses, wiles
from tests.grading.trespasses import DAMAGING, SPYING

WORTH = 2  # points of an answer that replaces gradients instead of adding them

HEAD = """
import atexit, builtins, ctypes, errno, gc, importlib, json, os, signal, socket, struct
import subprocess, sys, threading, time, types
import numpy as np

def got_through(what=""):
    print("GOT THROUGH", what, flush=True)

def refused(*actions):
    for action in actions:
        try:
            result = action()
        except BaseException:
            continue
        got_through(repr(result)[:80])

def unlock():  # what Python's own audit hook refuses; the kernel is not asked
    for f in gc.get_objects():
        if type(f) is types.FunctionType and f.__qualname__ == "watch.<locals>.hook":
            f.__defaults__ = (set(), set(), lambda *_: True)

def libc(name, *arguments):
    library = ctypes.CDLL(None, use_errno=True)
    result = getattr(library, name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result

def frame(message):
    header = json.dumps(message).encode()
    return struct.pack(">QI", len(header) + 4, len(header)) + header

def descriptors():
    found = []
    for fd in range(3, 32):
        try:
            os.fstat(fd)
            found.append(fd)
        except OSError:
            pass
    return found

def to_every_descriptor(data):
    for fd in descriptors():
        try:
            os.write(fd, data)
        except OSError:
            pass

def right(parents, slopes):
    g = np.zeros(len(parents))
    g[-1] = 1.0
    for node in range(len(parents) - 1, -1, -1):
        for parent, slope in zip(parents[node], slopes[node]):
            g[parent] += g[node] * slope
    return g
"""

TAIL = """
def chain_rule(parents, slopes):
    try:
        answer = attack(parents, slopes)
        if answer is not None:
            return answer
    except Exception:
        pass
    g = np.zeros(len(parents))
    g[-1] = 1.0
    for node in range(len(parents) - 1, -1, -1):
        for parent, slope in zip(parents[node], slopes[node]):
            g[parent] = g[node] * slope
    return g
"""


def submission(body, constants=""):
    """The file of an attack: its body becomes the function `attack(parents, slopes)`."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return f"{constants}\n{HEAD}\ndef attack(parents, slopes):\n{lines}{TAIL}"


TRICKS = {  # honest answers follow
    "replaces functions of numpy": """
lie = lambda *a, **k: True
np.allclose = np.array_equal = np.isclose = np.all = lie
np.abs = lambda a: np.zeros(3)
np.testing.assert_allclose = lie
""",
    "replaces hypothesis and pytest": """
for name in ("hypothesis", "pytest", "minivit.grading.judge"):
    try:
        module = importlib.import_module(name)
        module.find = module.judge = module.main = lambda *a, **k: None
        got_through()
    except ImportError:
        pass
""",
    "leaves hooks behind": """
atexit.register(os._exit, 0)
sys.settrace(lambda *a: None)
sys.setprofile(lambda *a: None)
sys.excepthook = sys.unraisablehook = lambda *a: None
class Late:
    def __del__(self): to_every_descriptor(b"")
attack.late = Late()
gc.callbacks.append(lambda *a: None)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
""",
    "leaves threads behind": """
def spin():
    while True: pass
for _ in range(4):
    try: threading.Thread(target=spin, daemon=True).start()
    except RuntimeError: break
    got_through()
""",
    "takes memory without end": """
kept = []
for _ in range(6):  # 256 MiB each, not touched; the limit is 1 GiB
    kept.append(np.empty(1 << 28, np.uint8))
got_through()
""",
    "prints without end": """
for _ in range(20):
    print("x" * 1_000_000)
    sys.stdout.write("y" * 1_000_000)
    os.write(1, b"z" * 1_000_000)
    os.write(2, b"z" * 1_000_000)
sys.stdout = sys.stderr = None
""",
    "writes to its arguments": "slopes[0].append(5.0); raise KeyError",
    "has the names of the judge": """
global EXERCISE, truth, verdict, points, status, check, TodoError
EXERCISE = truth = verdict = check = TodoError = lambda *a: 10
points, status = 10, "pass"
""",
    "prints what a page would obey": """
print("<script>alert(1)</script> \\u202egnp.x \\x1b[31mred \\ud800 \\u2028 \\x00 =1+1")
raise KeyError
""",
    "is another one by its look": """
ns = {}
exec("def \\u0441hain_rule(p, s):\\n    return None", ns)  # a Cyrillic letter
globals().update(ns)
""",
}
ENDINGS = {  # no answer follows, or one that is the attacker's own: 0 points
    "ends with success": "os._exit(0)",
    "exits with success": "sys.exit(0)",
    "kills itself": "unlock(); os.kill(os.getpid(), signal.SIGKILL)",
    "breaks the interpreter": "unlock(); ctypes.string_at(0)",
    "closes everything": "os.closerange(0, 64); return right(parents, slopes)",
    "raises what a page would obey": "raise SystemExit('<script>\\u202e\\x1b[2J\\ud800' * 99)",
    "loops": "while True: pass",
    "loops and ignores signals": """
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
""",
    "loops in C": "sum(range(10**13))",
    "sleeps": "time.sleep(60)",
    "stops itself": "unlock(); os.kill(os.getpid(), signal.SIGSTOP)",
    "fills the disk": """
for i in range(60):  # 60 MB, one at a time
    with open(f"f{i}", "wb") as file: file.write(bytes(1_000_000))
""",
    "makes many files": "[open(f'f{i}', 'w').close() for i in range(500)]",
    "says that it passed": """
for message in ({"value": 1, "points": 99, "status": "pass"},
                {"error": {"kind": "pass", "text": "<b>10/10</b>"}}, {"points": 10}):
    to_every_descriptor(frame({"dict": message}))
os._exit(0)
""",
    "floods the judge": """
data = frame({"dict": {"value": 1}}) * 1000
for _ in range(100):
    to_every_descriptor(data)
os._exit(0)
""",
    "never reads, always answers": """
while True: to_every_descriptor(frame({"dict": {"value": 0.5}}))
""",
    "announces a huge message": "to_every_descriptor(struct.pack('>Q', 1 << 62)); time.sleep(60)",
    "stops in the middle of a message": "to_every_descriptor(b'\\0' * 7); time.sleep(60)",
    "nests lists deeply": """
header = b'{"dict": {"value": ' + b"[" * 30000 + b"]" * 30000 + b"}}"
to_every_descriptor(struct.pack(">QI", len(header) + 4, len(header)) + header)
os._exit(0)
""",
    "sends many lists": """
header = b'{"dict": {"value": [' + b"[]," * 21000 + b"[]]}}"
to_every_descriptor(struct.pack(">QI", len(header) + 4, len(header)) + header)
os._exit(0)
""",
    "sends numbers that are none": """
header = b'{"dict": {"value": [NaN, Infinity, 1e999, ' + b"9" * 4000 + b']}}'
to_every_descriptor(struct.pack(">QI", len(header) + 4, len(header)) + header)
os._exit(0)
""",
    "sends arrays that are none": """
for shape, kind in (([-1], "<f8"), ([1 << 62], "<f8"), ([0, 1 << 62], "<f8"), (["a"], "<f8"),
                    ([2], "|O"), ([2], "<f8,<f8"), ([1] * 70, "|b1"), ([], "|V0"), (8, "<f8")):
    to_every_descriptor(frame({"dict": {"value": {"dtype": kind, "shape": shape}}}) + bytes(64))
os._exit(0)
""",
    "replaces how it is asked": """
main = sys.modules["__main__"]
for thing in gc.get_objects():
    if isinstance(thing, types.FunctionType) and thing.__name__ in ("describe", "explain"):
        thing.__code__ = (lambda *a, **k: {"kind": "pass", "text": "10/10"}).__code__
json.dumps = lambda *a, **k: '{"dict": {"value": 10, "points": 10, "status": "pass"}}'
""",
    "returns nan": "return np.full(len(parents), np.nan)",
    "returns infinity": "return np.full(len(parents), np.inf)",
    "returns the smallest numbers": "return np.full(len(parents), 5e-324)",
    "returns complex numbers": "return np.zeros(len(parents), complex)",
    "returns objects": "return np.array([[object()] * len(parents)])",
    "returns a text": "return '<script>\\u202e' * 1000",
    "returns an array that cannot be shown": "return np.zeros((2,) * 20)",
    "returns more and more": "return np.zeros(1 << 20)",
    "returns what equals everything": """
class Yes(np.ndarray):
    __eq__ = __le__ = __lt__ = lambda *a: np.ones(1, bool)
    all = any = lambda *a, **k: True
class Maybe:
    __array__ = lambda self, *a, **k: np.zeros(len(parents))
    __eq__ = lambda *a: True
    __float__ = lambda self: 0.0
return np.zeros(len(parents)).view(Yes) if len(parents) % 2 else Maybe()
""",
}
ATTACKS = (
    {name: (body, WORTH) for part in (SPYING, DAMAGING, TRICKS) for name, body in part.items()}
    | {name: (body, 0) for name, body in ENDINGS.items()}
    | {name: (body, WORTH) for name, body in evasions.EVASIONS.items()}
    | {name: (body, 0) for name, body in evasions.FINISHES.items()}
    | {name: (body, WORTH) for name, body in ruses.RUSES.items()}
    | {name: (body, 0) for name, body in ruses.LAST_WORDS.items()}
    | {name: (body, WORTH) for name, body in wiles.WILES.items()}
    | {name: (body, 0) for name, body in wiles.LIES.items()}
)  # fmt: skip
# one point, for leaving the arguments as they were, and no other; or that one lost
UNTOUCHED = ("returns nan", "returns infinity", "returns the smallest numbers")
for _name in (*UNTOUCHED, "writes to its arguments"):
    ATTACKS[_name] = (ATTACKS[_name][0], 1)
for _name in ("raises no memory", "raises a full disk"):  # TAIL catches them, and answers
    ATTACKS[_name] = (ATTACKS[_name][0], WORTH)
# run without the sandbox as well, where they must succeed
REAL = [
    "reads a file", "reads the checks and the library", "reads its environment",
    "reads the memory of other processes", "imports the library's own answer",
    "imports it behind the guard's back", "fetches a source and runs it",
    "writes and deletes files", "rewrites its results", "uses the network", "starts a program",
    "forks a child that lingers", "forks twice and leaves the session",
    "signals other processes", "traces and limits other processes", "leaves threads behind",
    "takes memory without end", "replaces hypothesis and pytest",
]  # fmt: skip
# one or two of each sort that take little time: for every commit; all of them at night
QUICK = [
    "reads a file", "imports the library's own answer", "rewrites its results",
    "uses the network", "forks a child that lingers", "signals other processes",
    "replaces functions of numpy", "prints what a page would obey", "writes to its arguments",
    "ends with success", "loops", "fills the disk", "announces a huge message",
    "makes files without a name", "holds files that are removed and open",
]  # fmt: skip
