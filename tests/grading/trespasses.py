"""Attacks that read, write or run what is not theirs: bodies for attacks.py."""

SPYING = {
    "reads a file": """
unlock()
refused(lambda: open(CANARY).read(), lambda: os.open(CANARY, os.O_RDONLY),
        lambda: libc("open", CANARY.encode(), 0), lambda: np.fromfile(CANARY, np.uint8),
        lambda: np.memmap(CANARY, np.uint8, "r"), lambda: os.listdir(OUT))
""",
    "reads the checks and the library": """
unlock()
refused(*[lambda path=path: open(path).read() for path in CODE])
""",
    "reads what another student handed in": """
unlock()
text = open(CLASS + "/ada/16_chain_rule.py").read()
got_through()
space = {}
exec(text.split("# %% [markdown]")[-3], space)
return space["chain_rule"](parents, slopes)
""",
    "reads its environment": """
if any("SECRET" in key + value for key, value in os.environ.items()):
    got_through()
""",
    "reads the memory of other processes": """
unlock()
for pid in (VICTIM, os.getppid()):
    refused(lambda: open(f"/proc/{pid}/environ").read(), lambda: open(f"/proc/{pid}/maps").read(),
            lambda: open(f"/proc/{pid}/mem", "rb"), lambda: os.listdir(f"/proc/{pid}/fd"))
""",
    "looks for open files": """
for fd in descriptors():
    try:
        os.lseek(fd, 0, os.SEEK_CUR)  # a pipe has no place
    except OSError:
        continue
    if not os.path.samestat(os.fstat(fd), os.stat(os.devnull)):
        got_through(fd)
""",
    "walks the stack and all objects": """
frame = sys._getframe()
while frame is not None:
    for name in ("truth", "expected", "EXERCISE", "verdict", "prop"):
        if name in frame.f_locals or name in frame.f_globals:
            got_through(name)
    frame = frame.f_back
for thing in gc.get_objects():
    if getattr(thing, "__module__", None) and "checks.chain_rule" in str(thing.__module__):
        got_through(thing)
""",
    "imports the library's own answer": """
from minivit.grading.checks.chain_rule import gradients
got_through()
return gradients
""",
    "imports it behind the guard's back": """
unlock()
sys.meta_path[:] = [m for m in sys.meta_path if "Blocked" not in repr(m)]
for name in [n for n in sys.modules if n.startswith("minivit")]:
    del sys.modules[name]
sys.path[:0] = PACKAGES
sys.path_importer_cache.clear()
module = importlib.import_module("minivit.grading.checks.chain_rule")
got_through()
return module.gradients
""",
    "fetches a source and runs it": """
unlock()
space = {}
for path in CODE:
    exec(compile(open(path).read(), path, "exec"), space)
got_through()
return space["gradients"]
""",
}
DAMAGING = {
    "writes and deletes files": """
unlock()
refused(lambda: open(CANARY, "w"), lambda: open(CANARY, "a").write("x"), lambda: os.remove(CANARY),
        lambda: os.truncate(CANARY, 0), lambda: os.rename(CANARY, CANARY + ".gone"),
        lambda: os.rename(CANARY, "mine"), lambda: os.chmod(CANARY, 0), lambda: os.utime(CANARY),
        lambda: os.chown(CANARY, 1, 1), lambda: os.link(CANARY, "mine"),
        lambda: os.symlink(CANARY, "link") or open("link").read(), lambda: os.mkdir(CANARY + ".d"),
        lambda: os.open(CANARY, os.O_RDONLY | os.O_TRUNC), lambda: open(CANARY + ".new", "w"),
        lambda: os.mkfifo(CANARY + ".fifo"), lambda: os.setxattr(CANARY, "user.x", b"x"),
        lambda: libc("unlink", CANARY.encode()), lambda: libc("rmdir", OUT.encode()),
        lambda: libc("chmod", OUT.encode(), 0), lambda: libc("truncate", CANARY.encode(), 0))
""",
    "rewrites its results": """
unlock()
for name in ("results.json", "16_chain_rule.json", "../16_chain_rule.json"):
    try:
        with open(name, "w") as file:
            file.write(json.dumps({"points": 99, "complete": True}))
        if name[0] == ".":
            got_through()
    except OSError:
        pass
for student in ("ada", "ben"):
    refused(lambda: open(f"{OUT}/students/{student}/16_chain_rule.json", "w").write("{}"),
            lambda: open(f"{OUT}/students/{student}/results.json", "w").write("{}"))
refused(lambda: open(OUT + "/points.csv", "w").write("x"))
""",
    "uses the network": """
unlock()
refused(lambda: socket.create_connection(("127.0.0.1", PORT)),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT)),
        lambda: socket.socket(socket.AF_UNIX), lambda: socket.socketpair(),
        lambda: libc("socket", 2, 1, 0), lambda: importlib.import_module("urllib.request")
        .urlopen(f"http://127.0.0.1:{PORT}", timeout=1))
""",
    "starts a program": """
unlock()
program = [sys.executable, "-c", f"open({CANARY!r}, 'a').write('x')"]
refused(lambda: subprocess.run(program), lambda: os.posix_spawn(program[0], program, {}),
        lambda: os.system("true") == 0 or int("x"), lambda: os.execv(program[0], program))
""",
    "forks a child that lingers": """
unlock()
if os.fork() == 0:
    time.sleep(2)
    os._exit(0)
got_through()
""",
    "forks twice and leaves the session": """
unlock()
if libc("fork") == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in range(64):
            try: os.close(fd)
            except OSError: pass
        time.sleep(2)
    os._exit(0)
got_through()
""",
    "forks fifty times": """
unlock()
for _ in range(50):
    try: pid = os.fork()
    except BaseException: break
    if pid == 0:
        time.sleep(2)
        os._exit(0)
    got_through()
""",
    "signals other processes": """
unlock()
refused(lambda: os.kill(os.getppid(), 0), lambda: os.kill(VICTIM, signal.SIGKILL),
        lambda: libc("kill", VICTIM, 19), lambda: os.killpg(VICTIM, 0),
        lambda: os.pidfd_open(VICTIM), lambda: os.setpriority(os.PRIO_PROCESS, VICTIM, 19),
        lambda: os.sched_setaffinity(VICTIM, {0}))
""",
    "traces and limits other processes": """
unlock()
import resource
refused(lambda: libc("ptrace", 16, VICTIM, 0, 0), lambda: libc("ptrace", 0x4206, VICTIM, 0, 0),
        lambda: resource.prlimit(VICTIM, resource.RLIMIT_NOFILE, (0, 0)),
        lambda: importlib.import_module("fcntl").fcntl(descriptors()[0], 8, VICTIM))
local = ctypes.create_string_buffer(8)
vector = struct.pack("PN", ctypes.addressof(local), 8)
refused(lambda: libc("process_vm_readv", VICTIM, vector, 1, vector, 1, 0))
""",
    "calls the kernel by number": """
unlock()
if os.uname().machine == "x86_64":
    calls = {"unshare": (272, 0x10000000), "mount": (165, 0, 0, 0, 0, 0), "bpf": (321, 0, 0, 0),
             "io_uring_setup": (425, 1, 0), "clone3": (435, 0, 0), "memfd": (319, b"x", 0),
             "userfaultfd": (323, 0), "perf": (298, 0, 0, -1, -1, 0), "keyctl": (250, 0, 0),
             "open": (2, CANARY.encode(), 0), "openat2": (437, -100, CANARY.encode(), 0, 0),
             "x32": (0x40000002, CANARY.encode(), 0), "chroot": (161, b"."), "setns": (308, 0, 0)}
    for name, (number, *rest) in calls.items():
        ctypes.set_errno(0)
        if ctypes.CDLL(None, use_errno=True).syscall(number, *rest) != -1:
            got_through(name)
        elif ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
            got_through(name + " was not refused")
""",
    "fills folders and links": """
unlock()
refused(lambda: os.mkdir("d"), lambda: os.symlink("/", "root"), lambda: os.mkfifo("f"),
        lambda: open("../x", "w"), lambda: os.chdir("..") or open("x", "w"))
""",
}
