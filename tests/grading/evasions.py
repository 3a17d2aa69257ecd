"""More submissions that mean harm (attacks.py says how they are made): they go around the limits on
files, outlive the judge, or make the grading itself look as if it had failed.
"""

EVASIONS = {  # of the limits on files; an honest answer follows, and its points stay
    "makes files without a name": """
unlock()
refused(lambda: os.open(".", os.O_TMPFILE | os.O_RDWR),
        lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_EXCL),
        lambda: libc("open", b".", os.O_TMPFILE | os.O_RDWR, 0o600))
""",
    "renames one file over another": """
try:
    for i in range(30):
        with open("new", "wb") as file: file.write(bytes(900_000))
        os.replace("new", "old")
except OSError:
    pass
for name in os.listdir("."):
    try: os.remove(name)
    except OSError: pass
""",
    "makes sparse files": """
unlock()
file = os.open("s", os.O_CREAT | os.O_RDWR)
refused(lambda: os.truncate("s", 1 << 30), lambda: os.ftruncate(file, 1 << 30),
        lambda: os.posix_fallocate(file, 0, 1 << 24))
""",
    "mounts a file system": """
unlock()
refused(lambda: libc("mount", b"tmpfs", b".", b"tmpfs", 0, b"size=1g"),
        lambda: libc("umount2", os.getcwd().encode(), 2),
        lambda: libc("mount", None, b"/", None, 32, b"size=1g"))
""",
    "enters a user namespace again": """
unlock()
refused(lambda: libc("unshare", 0x10000000), lambda: libc("unshare", 0x00020000),
        lambda: libc("setns", 0, 0))
""",
    "maps itself to another user": """
unlock()
refused(lambda: open("/proc/self/uid_map", "w").write("0 0 1"), lambda: os.setuid(12345),
        lambda: os.setgid(12345), lambda: os.setgroups([0]), lambda: libc("setresuid", 7, 7, 7))
""",
    "looks under its mount": """
unlock()
refused(lambda: open(f"/proc/{os.getppid()}/root/etc/passwd").read(),
        lambda: os.listdir(f"/proc/{os.getppid()}/cwd"), lambda: open("/etc/passwd").read(),
        lambda: open("/proc/self/root/etc/passwd").read(),
        lambda: open("/proc/1/environ").read(), lambda: open("/proc/self/mountinfo").read())
""",
    "writes devices": """
unlock()
refused(lambda: os.mknod("m", 0o600 | 0o20000, os.makedev(1, 1)),
        lambda: open("/dev/mem", "rb"), lambda: open("/dev/shm/x", "w"),
        lambda: open("/dev/full", "w"), lambda: open("/dev/kmsg", "w"),
        lambda: open("/dev/tty", "w"))
""",
    "outlives the judge": """
unlock()
refused(lambda: libc("prctl", 1, 0, 0, 0, 0), lambda: os.setsid(), lambda: os.setpgid(0, 0),
        lambda: libc("daemon", 0, 0) == 0 or int("x"))
""",
    "raises its limits": """
unlock()
import resource
for name in ("AS", "CPU", "FSIZE", "NOFILE", "NPROC", "CORE"):
    refused(lambda: resource.setrlimit(getattr(resource, "RLIMIT_" + name), (-1, -1)))
""",
    "changes its filter": """
unlock()
refused(lambda: libc("prctl", 22, 0), lambda: libc("prctl", 38, 0, 0, 0, 0),
        lambda: libc("syscall", 317, 0, 0, 0), lambda: libc("prctl", 4, 1, 0, 0, 0))
""",
    "asks for a better place in the queue": """
unlock()
refused(lambda: os.nice(-5), lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
        lambda: os.setpriority(os.PRIO_PROCESS, 0, -5), lambda: os.sched_setaffinity(0, {0}))
""",
    "locks memory": """
unlock()
refused(lambda: libc("mlockall", 1), lambda: libc("shmget", 0, 1 << 20, 0o1600),
        lambda: libc("memfd_create", b"x", 0))
""",
    "opens shared memory": """
unlock()
from multiprocessing import shared_memory
refused(lambda: shared_memory.SharedMemory(create=True, size=1 << 20))
""",
    "reads how its judge was started": """
unlock()
refused(lambda: open(f"/proc/{os.getppid()}/cmdline").read(),
        lambda: open("/proc/self/cmdline").read(), lambda: os.listdir("/proc"),
        lambda: os.readlink(f"/proc/{os.getppid()}/cwd"))
""",
    "looks for the seed": """
unlock()
for name in ("grading.seed", "../grading.seed", OUT + "/grading.seed"):
    refused(lambda: open(name).read())
for thing in gc.get_objects():
    if type(thing) is dict and "seed" in thing and type(thing["seed"]) is int and "cells" in thing:
        got_through()
""",
    "imports what only the teacher has": """
for name in ("hypothesis", "jinja2", "yaml", "nbgrader", "minivit.grading.teachers.classroom"):
    refused(lambda: importlib.import_module(name))
""",
    "shadows modules by files": """
for name in ("json", "numpy", "struct", "sandbox", "child"):
    with open(name + ".py", "w") as file: file.write("raise SystemExit(0)")
sys.path.insert(0, os.getcwd())
""",
    "replaces the standard library's functions": """
struct.pack = lambda *a: b""
json.dumps = lambda *a, **k: "{}"
os.read = os.write = lambda *a: b""
json.dumps, struct.pack = sys.modules["json"].dumps, struct.pack
import importlib as i
i.reload(struct); i.reload(json)
""",
    "writes a verdict into its folder": """
with open("16_chain_rule.key", "w") as file: file.write("x")
with open("16_chain_rule.json", "w") as file: file.write('{"complete": true, "points": 10}')
""",
    "prints the sentence of a failure": """
print("The grading itself failed: No space left on device. 300 graded, 0 to look at, 0 failed")
""",
    "writes names that a terminal obeys": """
for name in ("\\x1b[31mred", "a\\nb", "\\u202egnp", "=1+1"):
    with open(name, "w") as file: file.write("x")
""",
    "uses alarms": """
signal.signal(signal.SIGALRM, lambda *a: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
time.sleep(0.01)
signal.setitimer(signal.ITIMER_REAL, 0)
""",
    "leaves many small pieces of memory": """
attack.kept = [bytes(100) for _ in range(100_000)]
""",
    "recurses": """
def deeper(n): return deeper(n + 1)
try: deeper(0)
except RecursionError: pass
""",
    "answers late once": """
if not hasattr(attack, "slept"):
    attack.slept = True
    time.sleep(0.3)
""",
}
FINISHES = {  # no answer follows: 0 points
    "holds files that are removed and mapped": """
import mmap
kept = []
try:
    for i in range(300):  # 300 MB, should nothing stop it
        fd = os.open(f"a{i}", os.O_RDWR | os.O_CREAT)
        os.write(fd, bytes(1 << 20))
        kept.append(mmap.mmap(fd, 1 << 20))
        os.close(fd)
        os.remove(f"a{i}")
    got_through()
except OSError:
    time.sleep(60)  # full: the judge sees it
""",
    "holds files that are removed and open": """
kept = []
try:
    for i in range(60):
        kept.append(open(f"a{i}", "wb"))
        kept[-1].write(bytes(1_000_000))
        os.remove(f"a{i}")
    got_through()
except OSError:
    time.sleep(60)
""",
    "fills its file system and stays": """
attack.kept = []
for i in range(40):
    fd = os.open(f"a{i}", os.O_RDWR | os.O_CREAT)
    attack.kept.append(fd)
    try: os.write(fd, bytes(1 << 20))
    except OSError: pass
time.sleep(60)
""",
    "sleeps in short naps": "while True: time.sleep(0.01)",
    "waits for input": "import select; os.read(0, 1); select.select([], [], [], 60)",
    "raises no memory": "raise MemoryError('The grading itself failed: no memory')",
    "raises a full disk": "raise OSError(28, 'No space left on device')",
    "returns a lazy array": "return np.lib.stride_tricks.as_strided(np.zeros(1), (1 << 40,), (0,))",
    "returns itself": "a = []; a.append(a); return a",
    "returns a generator": "return (x for x in range(3))",
    "returns NaN in a list": "return [float('nan')] * len(parents)",
    "says that the grading failed": """
for message in ({"error": {"kind": "failure", "text": "The grading itself failed"}},):
    to_every_descriptor(frame({"dict": message}))
os._exit(0)
""",
}
