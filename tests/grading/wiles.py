"""A stranger's submissions that mean harm (attacks.py says how they are made): values and classes
that lie, hooks of the interpreter, the kernel's rarer doors, and answers without end.
"""

WILES = {  # an honest answer follows, and its points stay
    "watches files of others": """
unlock()
for name, *rest in (("inotify_init",), ("inotify_init1", 0), ("fanotify_init", 0, 0),
                    ("eventfd", 0, 0), ("timerfd_create", 0, 0), ("epoll_create1", 0),
                    ("signalfd", -1, ctypes.create_string_buffer(8), 0)):
    refused(lambda: libc(name, *rest))
""",
    "calls still more of the kernel": """
unlock()
numbers = [206, 312, 179, 154, 167, 40, 326, 276, 325, 329, 129, 297, 200, 109, 112, 58, 322, 101,
           155, 161, 164, 227, 305, 159, 175, 176, 313, 246, 320, 321, 323, 298, 310, 425, 426, 427,
           428, 429, 430, 431, 432, 433, 435, 436, 437, 440, 441, 442, 443, 448, 449, 450, 452, 457,
           462, 317, 73 + 512, 1 << 31, (1 << 31) + 62]
for number in numbers if os.uname().machine == "x86_64" else ():
    ctypes.set_errno(0)
    if ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), 0, 0, 0, 0, 0, 0) != -1:
        got_through(number)
    elif ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        got_through(f"{number} was not refused")
""",
    "types into the terminal": """
unlock()
import fcntl
for fd in (0, 1, 2, *descriptors()):
    for request in (0x5412, 0x5403, 0x5414, 0x540E, 0x5410, 0x5452, 0x5421, 0x40046602, 0x4B4D):
        refused(lambda: fcntl.ioctl(fd, request, b"x" * 64))
""",
    "locks and leases what others open": """
unlock()
import fcntl
with open(os.__file__) as file:
    for number in (6, 7, 8, 10, 37, 38, 1024, 1026, 1033, 1036):
        refused(lambda: fcntl.fcntl(file, number, 1))
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it may: nobody else locks that file
refused(lambda: fcntl.flock(open(OUT + "/points.csv"), fcntl.LOCK_EX),
        lambda: fcntl.flock(os.open(os.path.dirname(OUT), os.O_RDONLY), fcntl.LOCK_EX))
""",
    "asks the kernel's own files": """
unlock()
for path in ("/proc/self/attr/current", "/proc/self/coredump_filter", "/proc/self/timens_offsets",
             "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/sys/kernel/mm/ksm/run",
             "/proc/self/timerslack_ns", "/proc/self/autogroup", "/dev/fuse", "/dev/ptmx"):
    refused(lambda: open(path, "r+b"), lambda: open(path, "wb"))
refused(lambda: open("/proc/self/environ").read(), lambda: open("/proc/self/maps").read(),
        lambda: open("/proc/stat").read(), lambda: os.listdir("/proc/self/fd"))
""",
    "hides behind folders": """
unlock()
there = os.getcwd()
for path in ("/proc/self/root", "/dev/fd", "/tmp", OUT, CLASS, "/"):
    try: os.chdir(path)
    except OSError: continue
    refused(lambda: open("points.csv").read(), lambda: open("x", "w"), lambda: os.listdir("."),
            lambda: os.unlink("points.csv"), lambda: os.rename("points.csv", "y"))
os.chdir(there)
""",
    "moves a file over another's": """
unlock()
with open("mine", "w") as file: file.write("x")
refused(lambda: os.replace("mine", CANARY), lambda: os.replace("mine", OUT + "/points.csv"),
        lambda: libc("renameat2", -100, b"mine", -100, CANARY.encode(), 2),
        lambda: os.link("mine", OUT + "/mine"), lambda: libc("linkat", -100, b"mine", -100,
        (OUT + "/mine").encode(), 0))
""",
    "replaces the import": """
class Every:
    def find_spec(self, name, path=None, target=None): raise SystemExit(0)
sys.meta_path.insert(0, Every())
sys.path_hooks[:] = []
builtins.__import__ = lambda *a, **k: types.SimpleNamespace()
sys.modules["json"] = sys.modules["struct"] = sys.modules["os"] = None
""",
    "rewrites the frames above it": """
frame = sys._getframe()
while frame is not None:
    for name in ("count", "inputs", "request", "value", "later"):
        if name in frame.f_locals:
            frame.f_locals[name] = None
            ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), 0)
    frame.f_trace = lambda *a: None
    frame = frame.f_back
""",
    "turns the collector against it": """
gc.disable(); gc.freeze(); gc.set_threshold(1, 1, 1)
class Rises:
    kept = []
    def __del__(self):
        Rises.kept.append(self)
        to_every_descriptor(b"")
ring = Rises(); ring.me = ring
del ring
gc.enable(); gc.collect(); gc.callbacks.clear()
""",
    "changes how numbers are written": """
import decimal, locale
sys.set_int_max_str_digits(0)
np.set_printoptions(threshold=1, formatter={"all": lambda x: "10/10"})
decimal.getcontext().prec = 1
float.__class__
json.encoder.FLOAT_REPR = str
""",
    "replaces what numpy is asked about its answer": """
np.may_share_memory = np.shares_memory = lambda *a, **k: False
np.isnan = np.isfinite = lambda *a, **k: np.True_
np.frombuffer = np.zeros_like = np.copy = lambda *a, **k: np.zeros(1)
np.dtype.__class__
""",
    "puts secrets into its environment": """
for name in ("LD_PRELOAD", "PYTHONHOME", "TMPDIR", "HYPOTHESIS_STORAGE_DIRECTORY", "PATH"):
    os.environ[name] = os.getcwd()
ctypes.CDLL(None).clearenv()
""",
    "blocks every signal": """
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
signal.set_wakeup_fd(-1)
""",
    "maps the same memory many times": """
import mmap
kept = []
with open("m", "w+b") as file:
    file.truncate(1 << 20)
    try:
        for _ in range(3000): kept.append(mmap.mmap(file.fileno(), 1 << 20))
        got_through()
    except (OSError, ValueError, MemoryError):
        pass
""",
    "makes names as long as they go": """
for i in range(40):
    try: open(f"{i}" + "\\u202e" * 80, "w").close()
    except OSError: pass
os.rename("." + "/" * 2000 + "0" + "\\u202e" * 80, "short")
""",
    "reads ahead what it will be asked": """
import select
for fd in descriptors():
    if select.select([fd], [], [], 0)[0]:
        if os.read(fd, 1): got_through()
""",
    "copies itself into the module of the judge": """
main = sys.modules["__main__"]
for name in ("check", "judge", "Outcome", "points", "EXERCISE"):
    setattr(main, name, lambda *a, **k: 10)
sys.modules["minivit.grading.judge"] = sys.modules["hypothesis"] = main
""",
    "opens as many files as it can": """
attack.kept = getattr(attack, "kept", [])
try:
    while True: attack.kept.append(open(os.devnull))
except OSError:
    if len(attack.kept) > 64: got_through()
    attack.kept.clear()
""",
}
LIES = {  # no answer follows: 0 points
    "lies about its class": """
class Array:
    __class__ = property(lambda self: np.ndarray)
    dtype, shape, size, ndim, flags = np.dtype(float), (len(parents),), len(parents), 1, None
    __array__ = lambda self, *a, **k: np.zeros(len(parents))
    tobytes = lambda self: b""
return Array()
""",
    "lies by its operators": """
class Right(np.ndarray):
    __array_ufunc__ = lambda self, f, *a, **k: np.True_
    __array_function__ = lambda self, *a, **k: np.True_
    __array_wrap__ = __array_finalize__ = lambda self, *a, **k: None
    __eq__ = __sub__ = __rsub__ = lambda *a: np.zeros(1)
    tobytes = copy = astype = lambda self, *a, **k: b""
return np.zeros(len(parents)).view(Right)
""",
    "is equal to all in turn": """
class Turn(float):
    turn = 0
    def __eq__(self, other):
        Turn.turn += 1
        return Turn.turn % 2 == 0
    __hash__ = None
    __le__ = __lt__ = __ge__ = __gt__ = __eq__
return [Turn(1)] * len(parents)
""",
    "is a list without end": """
class Endless(list):
    def __iter__(self):
        while True: yield 0.0
    __len__ = lambda self: len(parents)
return Endless()
""",
    "is a mapping without end": """
class Endless(dict):
    def items(self):
        i = 0
        while True:
            i += 1
            yield str(i), 0.0
return Endless()
""",
    "is a number of a million digits": "return 10 ** 1_000_000",
    "is a long list": "return [0.1] * 30_000",
    "is a list of lists of lists": """
deep = []
for _ in range(100_000): deep = [deep]
return deep
""",
    "has a dtype without end": "return np.zeros(2, [(f'f{i}', 'f8') for i in range(20_000)])",
    "is empty in a huge way": """
value = {"dtype": "<f8", "shape": [0, (1 << 31) - 1, (1 << 31) - 1]}
for _ in range(3): to_every_descriptor(frame({"dict": {"value": value}}))
os._exit(0)
""",
    "is of a number that numpy hardly has": """
for kind in ("<f2", ">c32", "<f16", "<i3", "|u1", "|b9", "<c99", "<f0"):
    value = {"dtype": kind, "shape": [1]}
    to_every_descriptor(frame({"dict": {"value": value, "printed": "x"}}) + bytes(99))
os._exit(0)
""",
    "names keys twice": """
header = b'{"dict": {"value": 1, "value": {"other": {"other": {"other": "x"}}}, "error": null}}'
to_every_descriptor(struct.pack(">QI", len(header) + 4, len(header)) + header)
os._exit(0)
""",
    "drips its answer": """
data = frame({"dict": {"value": 1}})
for byte in data:
    time.sleep(0.5)
    to_every_descriptor(bytes([byte]))
os._exit(0)
""",
    "prints through the printer": """
for thing in gc.get_objects():
    if type(thing).__name__ == "Printed": thing.text = "\\u202e<b>" * 100_000
raise KeyError("x" * 1_000_000)
""",
    "raises on a long line": "raise SystemExit" + " " * 100_000 + "('x')",
    "raises a group of many": "raise BaseExceptionGroup('x', [KeyboardInterrupt('<b>')] * 10_000)",
    "hangs where its error is read": """
class Slow(BaseException):
    def __str__(self):
        while True: pass
raise Slow
""",
    "hangs when it is gone": """
class Last:
    def __del__(self):
        while True: pass
Last()
""",
    "yields by turns": "while True: os.sched_yield()",
    "naps for a moment without end": "while True: time.sleep(1e-6)",
    "waits for a lock that it holds": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "frees what is not its own": "unlock(); libc('free', ctypes.c_void_p(64)); os.abort()",
    "overflows its stack": """
kind = type("K", (), {})
deep = kind()
for _ in range(1_000_000):
    outer = kind(); outer.inner = deep; deep = outer
del deep, outer
text = "(" * 99 + ")" * 99
import re
re.compile("(" * 5000 + ")" * 5000)
os.abort()
""",
    "takes all that it may, and keeps it": """
attack.kept = [np.ones(1 << 20, np.uint8) for _ in range(5000)]
""",
}
