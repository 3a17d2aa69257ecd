"""Locks the process in which a student's code is about to run; nothing in it can unlock it again.

Five layers, each where the platform has it:

a mount    (Linux, user namespaces) the scratch folder is a file system in memory with a size
Landlock   (Linux 5.13)  files: read Python and NumPy, write into the scratch folder, else nothing
seccomp    (Linux)       system calls: those of a computation; no process, thread, socket or signal
rlimits    (not Windows) memory, processor time, size of a file, open files, no core dump
audit hook (anywhere)    the same rules for Python's own functions. A hostile program gets around
                         it, so where it stands alone it protects from accidents only

None of them needs root or costs a millisecond. `protection.py` tries what they stop. The file runs
in the child by itself, so it imports nothing of minivit.

Sources: landlock(7), seccomp(2), the kernel's system call tables, PEP 578.
"""

import contextlib
import ctypes
import errno
import os
import struct
import sys

FILE_SIZE = 1 << 20  # bytes
OPEN_FILES = 64
HIDDEN = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))  # minivit


def enter(scratch, packages, memory, seconds, disk, files):
    """Lock this process up. `packages`: folders that stay readable, beside Python's own library;
    `memory`: bytes that it may take beyond what it has; `seconds` of processor time; `disk`: bytes
    in `files` files in the scratch folder."""
    trees = [*packages, *SYSTEM, *(os.path.join(sys.base_prefix, name) for name in LIBRARIES)]
    trees = [os.path.realpath(tree) for tree in trees if os.path.exists(tree)]
    scratch = os.path.realpath(scratch)
    alone = sys.platform == "linux" and _threads() == 1  # another one would stay outside
    sized = alone and mount(scratch, disk, files)
    limit(memory, seconds)
    if alone:
        for layer in (drop_privileges, lambda: landlock(trees, scratch, sized), seccomp):
            with contextlib.suppress(OSError, AttributeError, KeyError):  # not in this kernel
                layer()
    watch(trees, scratch)


LIBRARIES = ("lib", "lib64", "Lib", "DLLs")  # of Python, in its own folder
SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/localtime",
    "/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom",
)  # fmt: skip


# -- rlimits ---------------------------------------------------------------------------------------
def limit(memory, seconds):
    """Lower what this process may use. (The kernel of macOS takes RLIMIT_AS and forgets it.)"""
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(OSError), open("/proc/self/statm") as file:
        memory += int(file.read().split()[0]) * resource.getpagesize()
    wanted = {
        "RLIMIT_AS": memory, "RLIMIT_CPU": seconds, "RLIMIT_FSIZE": FILE_SIZE, "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": OPEN_FILES, "RLIMIT_MEMLOCK": 0, "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_NPROC": 0,  # no more processes of this user; root is not counted
    }  # fmt: skip
    for name, value in wanted.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            hard = resource.getrlimit(getattr(resource, name))[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(getattr(resource, name), (value, value))


# -- Linux: calls that Python has no function for --------------------------------------------------
def _threads():
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _call(function, *arguments):
    """A C function of the system, whose failure is an OSError."""
    ctypes.set_errno(0)
    result = function(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _libc():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def die_with(parent):
    """The kernel kills this process when `parent`, which started it, ends however it ends."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            _call(_libc().prctl, 1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
        if os.getppid() != parent:  # it ended before
            os._exit(1)


# -- a file system of its own ----------------------------------------------------------------------
NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000
NO_SUID_NO_DEVICES_NO_PROGRAMS = 2 | 4 | 8


def mount(scratch, disk, files):
    """Make `scratch` a file system in memory that holds no more than `disk` bytes and `files`
    files, whoever holds them (a file that was removed but is still open counts). False where this
    process may not: some containers have no user namespaces.

    Nobody else sees that mount, and it goes with the process. user_namespaces(7), tmpfs(5).
    """
    try:
        libc, user, group = _libc(), os.geteuid(), os.getegid()
        _call(libc.unshare, NEW_USER | NEW_MOUNTS)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"),
                           ("gid_map", f"{group} {group} 1")):  # fmt: skip
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        options = f"size={disk},nr_inodes={files + 1},mode=700".encode()
        kind, flags = b"tmpfs", ctypes.c_ulong(NO_SUID_NO_DEVICES_NO_PROGRAMS)
        _call(libc.mount, kind, os.fsencode(scratch), kind, flags, options)
        os.chdir(scratch)
        return True
    except (OSError, AttributeError):
        return False


# -- privileges ------------------------------------------------------------------------------------
def drop_privileges():
    """Drop root's rights beyond its own files; no program can bring them back."""
    libc = _libc()
    _call(libc.prctl, 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, which the next two layers ask for
    header, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)  # no capabilities
    _call(libc.capset, header, nothing)


# -- Landlock --------------------------------------------------------------------------------------
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every machine
WRITE_FILE, READ_FILE, READ_DIR, REMOVE_FILE, MAKE_REG, TRUNCATE = (
    1 << bit for bit in (1, 2, 3, 5, 8, 14)
)
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # version: how many rights it knows


def landlock(trees, scratch, sized):
    """From here on: read `trees` without HIDDEN, use flat files in `scratch`, and nothing else.

    Where that folder is not `sized`, a file there cannot be removed: one that is gone from the
    folder and still open or mapped could not be counted.
    """
    libc = _libc()
    version = _call(libc.syscall, CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    handled = (1 << RIGHTS[min(version, 5)]) - 1
    attributes = struct.pack("Q", handled)
    rules = _call(libc.syscall, CREATE_RULESET, attributes, ctypes.c_size_t(8), 0)

    def allow(path, rights):
        if not os.path.isdir(path):
            rights &= WRITE_FILE | READ_FILE | TRUNCATE
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights & handled, file)
            _call(libc.syscall, ADD_RULE, rules, 1, rule, 0)
        finally:
            os.close(file)

    hidden = {HIDDEN} | {path for path in map(os.path.realpath, other_packages())}
    for tree in trees:
        for path, whole in _without(tree, hidden):
            allow(path, READ_FILE | READ_DIR if whole else READ_DIR)
    read_write = READ_FILE | WRITE_FILE | TRUNCATE
    allow(scratch, read_write | READ_DIR | MAKE_REG | (REMOVE_FILE if sized else 0))
    allow(os.devnull, read_write)
    _call(libc.syscall, RESTRICT_SELF, rules, 0)
    os.close(rules)


def other_packages():
    """The folders of packages among Python's own files; of them only NumPy may be read."""
    names = ("site-packages", "dist-packages")
    library = os.path.dirname(os.__file__)
    there = [os.path.join(library, name) for name in names]
    there += ["/usr/lib/python3/dist-packages"]
    return there + [path for path in sys.path if path.endswith(names)]


def _without(tree, hidden):
    """(path, whole) of what makes up `tree` without what is `hidden`: a rule holds for all that is
    below its path. Of a folder that is not whole, only the names may be read."""
    if tree in hidden:
        return
    whole = not any(_inside(path, tree) for path in hidden)
    yield tree, whole
    if not whole:
        for entry in os.scandir(tree):
            if not entry.is_symlink():
                yield from _without(entry.path, hidden)


def _inside(path, tree):
    return path == tree or path.startswith(tree.rstrip(os.sep) + os.sep)


# -- seccomp ---------------------------------------------------------------------------------------
# name: number on x86_64, number on aarch64 ("-": not there)
ALLOWED = """
read 0 63, write 1 64, close 3 57, fstat 5 80, lseek 8 62, pread64 17 67, pwrite64 18 68,
readv 19 65, writev 20 66, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59,
stat 4 -, lstat 6 -, newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48,
getdents64 217 61, getcwd 79 17, readlink 89 -, readlinkat 267 78, statfs 137 43, fstatfs 138 44,
chdir 80 49, fchdir 81 50, umask 95 166, rename 82 -, renameat 264 38, renameat2 316 276,
unlink 87 -, unlinkat 263 35, ftruncate 77 46, fsync 74 82, fdatasync 75 83, flock 73 32,
mmap 9 222, mprotect 10 226, munmap 11 215, brk 12 214, mremap 25 216, msync 26 227,
mincore 27 232, madvise 28 233, membarrier 324 283, futex 202 98, set_robust_list 273 99,
set_tid_address 218 96, rseq 334 293, sched_yield 24 124, getcpu 309 168, arch_prctl 158 -,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, sigaltstack 131 132,
rt_sigpending 127 136, rt_sigsuspend 130 133, rt_sigtimedwait 128 137, restart_syscall 219 128,
pause 34 -, alarm 37 -, getitimer 36 102, setitimer 38 103, nanosleep 35 101,
clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114, gettimeofday 96 169,
time 201 -, times 100 153, select 23 -, pselect6 270 72, poll 7 -, ppoll 271 73,
getpid 39 172, getppid 110 173, gettid 186 178, getpgrp 111 -, getpgid 121 155, getsid 124 156,
getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148,
getresgid 120 150, getrlimit 97 163, getrusage 98 165, sysinfo 99 179, uname 63 160,
getrandom 318 278, exit 60 93, exit_group 231 94
"""
OWN_PROCESS = "kill 62 129, tgkill 234 131, prlimit64 302 261, sched_getaffinity 204 123"
IOCTL, FCNTL, OPENAT = "ioctl 16 29", "fcntl 72 25", "openat 257 56"
TERMINAL = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)  # is it one, its width; bytes waiting, CLOEXEC
UNNAMED = 0o20000000  # of O_TMPFILE the bit that no other flag has
PLAIN_FCNTL = (0, 1, 2, 3, 4, 1030)  # duplicate, flags; not: whom to send a signal
NEWER = 424  # from here on numbers are new, and the same everywhere: "no such call" makes the C
# library fall back to an older one. io_uring, clone3, pidfds and the calls to mount are among them
ALLOW, REFUSE, MISSING, KILL = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 1 << 31


def _numbers(table, column):
    rows = [row.split()[1 + column] for row in table.replace("\n", " ").split(",")]
    return [int(number) for number in rows if number != "-"]


def seccomp():
    """From here on other system calls than those of a computation answer EPERM.

    The filter is a program for the kernel: load a word of the call, compare, return a verdict.
    """
    column, machine = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}[os.uname().machine]
    program = []

    def do(code, k, jump_true=0, jump_false=0):
        program.append(struct.pack("HBBI", code, jump_true, jump_false, k))

    def load(offset):  # 0: the call's number, 4: the machine, 16 + 8 i: argument i
        do(0x20, offset)

    def verdict_if_equal(value, verdict):
        do(0x15, value, 0, 1)
        do(0x06, verdict)

    def only_with(number, argument, values):
        """Allow the call where an argument is one of `values`."""
        do(0x15, number, 0, 2 + 2 * len(values))
        load(16 + 8 * argument)
        for value in values:
            verdict_if_equal(value, ALLOW)
        do(0x06, REFUSE)

    load(4)
    do(0x15, machine, 1, 0)
    do(0x06, KILL)  # a call by the rules of another machine, with other numbers
    load(0)
    do(0x35, NEWER, 0, 1)
    do(0x06, MISSING)
    for number in _numbers(ALLOWED, column):
        verdict_if_equal(number, ALLOW)
    for number in _numbers(OWN_PROCESS, column):
        only_with(number, 0, (0, os.getpid()))
    only_with(_numbers(IOCTL, column)[0], 1, TERMINAL)
    only_with(_numbers(FCNTL, column)[0], 1, PLAIN_FCNTL)
    do(0x15, _numbers(OPENAT, column)[0], 0, 9)
    load(16 + 8 * 2)
    do(0x54, UNNAMED)  # a file that stands in no folder, where its size could be seen
    verdict_if_equal(UNNAMED, REFUSE)
    load(16 + 8 * 2)
    do(0x54, os.O_TRUNC | os.O_WRONLY | os.O_RDWR)  # Landlock 1 and 2 let a reader truncate
    verdict_if_equal(os.O_TRUNC, REFUSE)
    do(0x06, ALLOW)
    do(0x06, REFUSE)
    code = ctypes.create_string_buffer(b"".join(program))
    head = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    _call(_libc().prctl, 22, 2, head, 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


# -- Python's own functions, anywhere --------------------------------------------------------------
REFUSED = {
    "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile",
    "subprocess.Popen", "os.kill", "os.killpg", "os.mkdir", "os.rmdir", "os.link", "os.symlink",
    "os.chmod", "os.chown", "os.truncate", "os.utime", "os.setxattr", "os.removexattr",
    "socket.__new__", "ctypes.dlopen", "ctypes.dlsym", "sys.addaudithook",
}  # fmt: skip
MOVES = {"os.remove", "os.rename"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(trees, scratch):
    """Refuse, with a sentence, what a submission has no business with."""

    def path_of(value):
        return os.path.realpath(os.fsdecode(value))

    def hook(event, arguments, refused=REFUSED, moves=MOVES, inside=_inside):
        if event in refused:
            raise PermissionError(f"a submission may not use {event}")
        if event == "open" and not isinstance(arguments[0], int):
            path, writes = path_of(arguments[0]), arguments[2] & WRITES
            if inside(path, scratch) or path == os.path.realpath(os.devnull):
                return
            if inside(path, HIDDEN):
                raise PermissionError("a submission may not read minivit's own files")
            if writes:
                raise PermissionError("a submission may not write outside of its own folder")
            if not any(inside(path, tree) for tree in trees):
                raise PermissionError("a submission may not read other files")
        if event in moves and not all(inside(path_of(p), scratch) for p in arguments[:2]
                                      if isinstance(p, (str, bytes))):  # fmt: skip
            raise PermissionError("a submission may not change files outside of its own folder")

    sys.addaudithook(hook)
