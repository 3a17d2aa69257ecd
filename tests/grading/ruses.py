"""Still more submissions that mean harm (attacks.py says how they are made): other interpreters,
rare system calls, a wire that they serve themselves, and answers that are no plain arrays.
"""

RUSES = {  # an honest answer follows, and its points stay
    "runs text through the C API": """
unlock()
run = ctypes.pythonapi.PyRun_SimpleString
if run(f"open({CANARY!r}).read()".encode()) == 0: got_through()
if run(f"open({CANARY!r}, 'a').write('x')".encode()) == 0: got_through()
""",
    "writes into its own memory by a file": """
unlock()
refused(lambda: open("/proc/self/mem", "r+b"), lambda: open("/proc/self/clear_refs", "w"),
        lambda: open("/proc/self/oom_score_adj", "w").write("-1000"),
        lambda: open("/proc/self/task/self/comm", "w").write("judge"))
""",
    "opens its pipes once more, and those of others": """
unlock()
for fd in range(20):
    refused(lambda: os.open(f"/proc/{os.getppid()}/fd/{fd}", os.O_RDWR),
            lambda: os.open(f"/proc/{VICTIM}/fd/{fd}", os.O_RDONLY))
refused(lambda: open("/dev/pts/0", "w"), lambda: open("/dev/ptmx"))
for fd in descriptors():  # its own ones are its own
    try: again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_NONBLOCK)
    except OSError: continue
    os.close(again)
""",
    "grows its pipes": """
unlock()
import fcntl
for fd in descriptors():
    refused(lambda: fcntl.fcntl(fd, 1031, 1 << 20), lambda: fcntl.fcntl(fd, 10, 9),
            lambda: fcntl.fcntl(fd, 1024, 1), lambda: fcntl.fcntl(fd, 1026, 1))
""",
    "makes its pipes wait for nothing": """
import fcntl
for fd in descriptors():
    try: fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
    except OSError: pass
    else: fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
""",
    "asks to be traced": """
unlock()
refused(lambda: libc("ptrace", 0, 0, 0, 0), lambda: libc("prctl", 0x59616d61, -1, 0, 0, 0),
        lambda: libc("prctl", 15, b"judge", 0, 0, 0), lambda: libc("prctl", 36, 1, 0, 0, 0))
""",
    "calls what else the kernel has": """
unlock()
calls = {"x86_64": (16 * [0])} if os.uname().machine == "x86_64" else {}
numbers = [29, 68, 64, 253, 300, 222, 304, 303, 163, 170, 135, 172, 173, 53, 275, 276, 278, 213,
           284, 282, 283, 279, 237, 314, 248, 249, 311, 447, 434, 438, 444, 446, 99999, 512, 1023]
for number in numbers if calls else ():
    ctypes.set_errno(0)
    if ctypes.CDLL(None, use_errno=True).syscall(number, 0, 0, 0, 0, 0, 0) != -1:
        got_through(number)
    elif ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        got_through(f"{number} was not refused")
""",
    "calls by the numbers of another machine": """
unlock()
if os.uname().machine == "x86_64":
    for bit in (0x40000000, 0x80000000, 0xffff0000):
        refused(lambda: libc("syscall", ctypes.c_long(bit | 2), CANARY.encode(), 0, 0),
                lambda: libc("syscall", ctypes.c_long(bit | 57), 0, 0, 0))
""",
    "maps more than it may have": """
unlock()
import mmap
refused(lambda: mmap.mmap(-1, 1 << 36), lambda: mmap.mmap(-1, 3 << 30, mmap.MAP_SHARED),
        lambda: mmap.mmap(-1, 1 << 34, mmap.MAP_PRIVATE | mmap.MAP_NORESERVE))
grown = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE)
refused(lambda: grown.resize(2 << 30))
""",
    "keeps what it was given": """
attack.kept = getattr(attack, "kept", [])
attack.kept.append((parents, slopes, np.empty(1 << 24, np.uint8)))
for p, s, _ in attack.kept[:-1]:
    if p is not parents: p[:], s[:] = [[]] * len(p), [[]] * len(s)
""",
    "moves its folder away": """
unlock()
here = os.getcwd()
refused(lambda: os.rename(here, here + ".gone"), lambda: os.rmdir(here), lambda: os.chmod(here, 0),
        lambda: os.rename(".", "x"), lambda: libc("rmdir", b"."), lambda: os.chroot("."))
""",
    "writes a module that Python would take": """
for name in ("sitecustomize", "usercustomize", "re", "chain_rule", "submission"):
    with open(name + ".py", "w") as file: file.write("raise SystemExit(0)")
with open("pyvenv.cfg", "w") as file: file.write("home = .")
os.environ["PYTHONSTARTUP"] = os.environ["PYTHONPATH"] = os.getcwd()
""",
    "raises its own warnings": """
import warnings
warnings.simplefilter("error")
np.seterr(all="raise")
sys.setswitchinterval(1e-6)
""",
    "puts its own class in the place of numbers": """
class Ten(float):
    def __mul__(self, other): return 10.0
    __rmul__ = __eq__ = __le__ = __ge__ = lambda *a: True
attack.one = Ten(1.0)
np.float64.__class__
""",
    "says that it is not written yet, in print": """
print("TODO Exercise 16, chain_rule: 10/10 points. Public checks passed: 6/6, points: 10/10.")
print("{\\"dict\\": {\\"value\\": 1}}")
""",
}
LAST_WORDS = {  # no answer follows: 0 points
    "runs in another interpreter": """
try: import _interpreters as inner
except ImportError: import _xxsubinterpreters as inner
here = inner.create()
for line in (f"open({CANARY!r}).read()", f"open({CANARY!r}, 'a').write('x')",
             "import os; os.listdir('/')", "import os; os.kill(os.getppid(), 0)"):
    try: found = (getattr(inner, "run_string", None) or inner.exec)(here, line)
    except Exception: continue
    if found is None: got_through(line)  # an audit hook belongs to one interpreter
os._exit(0)
""",
    "serves the wire itself": """
import select
while True:  # reads each request and answers it
    for fd in descriptors():
        try:
            if select.select([fd], [], [], 0)[0]: os.read(fd, 1 << 16)
        except (OSError, ValueError): pass
    to_every_descriptor(frame({"dict": {"value": 0, "gradients": [], "after": [], "shared": []}}))
""",
    "answers ahead": """
value = {"dtype": "<f8", "shape": [1]}
for _ in range(50):
    to_every_descriptor(frame({"dict": {"value": value}}) + bytes(8))
return right(parents, slopes)
""",
    "swallows the next request": """
for fd in descriptors():
    try: os.read(fd, 1 << 16)
    except OSError: pass
time.sleep(60)
""",
    "says that it is not written yet": """
to_every_descriptor(frame({"dict": {"error": {"dict": {"kind": "todo", "text": "\\u202e10/10"}}}}))
os._exit(0)
""",
    "says that it took too long": """
for kind in ("time", "load", "died", "pass", 7, None, []):
    to_every_descriptor(frame({"dict": {"error": {"dict": {"kind": kind, "text": ["<b>"]}}}}))
os._exit(0)
""",
    "sends a huge header": """
header = b'{"dict": {"value": "' + b"x" * (1 << 20) + b'"}}'
to_every_descriptor(struct.pack(">QI", len(header) + 4, len(header)) + header)
os._exit(0)
""",
    "sends a header that ends behind its message": """
to_every_descriptor(struct.pack(">QI", 12, 1 << 31) + b"{}      ")
os._exit(0)
""",
    "kills its group": "unlock(); os.killpg(0, signal.SIGKILL)",
    "stops its group": "unlock(); os.kill(0, signal.SIGSTOP)",
    "raises what is no exception of its kind": """
Odd = type("<script>alert(1)</script>\\u202e", (BaseException,), {"__str__": lambda s: "\\x1b[2J"})
raise Odd from Odd()
""",
    "raises without end": """
error = BaseException("x")
error.__cause__ = error.__context__ = error
class Deep(BaseException):
    __str__ = __repr__ = lambda self: str(self)
raise Deep from error
""",
    "interrupts": "raise KeyboardInterrupt",
    "recurses through C": """
sys.setrecursionlimit(10**9)
class A: pass
A.__getattr__ = lambda self, name: getattr(self, name)
A().x
""",
    "replaces what is built in": """
builtins.isinstance = builtins.len = builtins.callable = builtins.type = lambda *a: True
""",
    "replaces how messages are written": """
for thing in gc.get_objects():
    if type(thing) is types.FunctionType and thing.__name__ in ("send", "encode", "receive"):
        try: thing.__code__ = (lambda *a, **k: None).__code__
        except ValueError: pass  # it has a closure
""",
    "returns an array of another kind": """
kinds = (np.ma.masked_all(len(parents)), np.matrix(np.zeros(len(parents))),
         np.zeros(len(parents), "f8,f8"), np.zeros(len(parents), "S8"),
         np.zeros(len(parents), "M8[s]"), np.zeros(len(parents), "V8"), np.zeros(1, np.longdouble))
attack.turn = getattr(attack, "turn", -1) + 1
return kinds[attack.turn % len(kinds)]
""",
    "returns what depends on the time": "return np.random.default_rng().normal(size=len(parents))",
    "returns numbers that are no numbers": """
class One(float):
    __repr__ = __str__ = lambda self: "1e999"
return [One(0.0)] * len(parents)
""",
    "returns a mapping with odd keys": """
class Key:
    def __str__(self): raise KeyboardInterrupt
return {Key(): 1, "dtype": "|O", "shape": [1]}
""",
}
