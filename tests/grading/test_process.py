"""What runs beside a submission's code: its walls, its limits, and the wire to the judge."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.grading import judge
from minivit.grading.process import child, protection, runner, sandbox


# -- the sandbox -----------------------------------------------------------------------------------
def test_the_system_calls_have_the_kernels_numbers():
    tables = {
        0: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        1: Path("/usr/include/asm-generic/unistd.h"),
    }
    if not all(path.exists() for path in tables.values()):
        pytest.skip("the kernel's headers are not installed")
    rows = [sandbox.ALLOWED, sandbox.OWN_PROCESS, sandbox.IOCTL, sandbox.FCNTL, sandbox.OPENAT]
    rows = [row.split() for part in rows for row in part.replace("\n", " ").split(",")]
    for column, path in tables.items():
        found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text()))
        found |= {"newfstatat": found.get("newfstatat", found.get("fstatat"))}
        for name, *numbers in rows:
            assert found.get(name, "-") == numbers[column], name
    assert len({row[0] for row in rows}) == len(rows)


def test_what_the_kernel_does_not_refuse_python_does(tmp_path):
    """The audit hook alone, as on macOS and Windows."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(sandbox.__file__).parent)!r})
import sandbox, socket, subprocess
os.chdir({str(tmp_path / "scratch")!r})
sandbox.watch([os.path.realpath(sys.base_prefix)], os.getcwd())
import colorsys
open("mine", "w").write("x"); os.rename("mine", "yours"); os.remove("yours"); open(os.devnull, "w")
for action in (
    lambda: open({str(tmp_path / "canary")!r}), lambda: open({str(tmp_path / "canary")!r}, "w"),
    lambda: os.remove({str(tmp_path / "canary")!r}), lambda: open({judge.__file__!r}),
    lambda: os.rename({str(tmp_path / "canary")!r}, "x"), lambda: os.mkdir("d"),
    lambda: socket.socket(), lambda: subprocess.run([sys.executable]), lambda: os.kill(1, 0),
):
    try: action()
    except PermissionError as error: print(error)
"""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "canary").write_text("canary")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.count("a submission may not") == 9, done.stdout + done.stderr
    assert "may not read minivit's own files" in done.stdout
    assert (tmp_path / "canary").read_text() == "canary"


def test_the_library_is_hidden_where_it_lies_beside_pythons_own(tmp_path):
    for name in ("lib/a.py", "lib/site/numpy/x.py", "lib/site/minivit/y.py", "lib/site/z.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    hidden = {str(tmp_path / "lib" / "site" / "minivit")}
    shown = dict(sandbox._without(str(tmp_path / "lib"), hidden))
    assert {os.path.relpath(path, tmp_path): whole for path, whole in shown.items()} == {
        "lib": False, "lib/a.py": True, "lib/site": False, "lib/site/numpy": True,
        "lib/site/z.py": True,
    }  # fmt: skip
    assert not list(sandbox._without(*hidden, hidden))


def test_the_terminal_says_what_holds_and_what_does_not():
    text = protection.line(["use the network"], ["read other files", "start processes"])
    assert text.startswith("A submission here cannot use the network, run without end. It CAN")
    assert "It CAN" not in protection.line(["use the network"], [])
    stopped, possible = protection.find()
    assert sorted(stopped + possible) == sorted(protection.WORDS.values())


def test_a_computation_is_not_hindered():
    """An honest answer may do these things in passing."""
    text = """
import decimal, functools, itertools, math, random, statistics, time
import numpy as np
def f(x):
    import numpy.fft, numpy.linalg, numpy.polynomial, collections.abc, json, re, asyncio
    with open("notes.txt", "w") as file:
        file.write(str(x))
    with open("notes.txt") as file:
        assert file.read()
    np.save("x.npy", x)
    rng = np.random.default_rng()
    time.sleep(0.001)
    q, r = np.linalg.qr(rng.normal(size=(50, 20)))
    return np.load("x.npy") @ np.fft.ifft(np.fft.fft(x)).real
"""
    with runner.Student([("a", 1, text)], "f") as student:
        answer = student.call([np.arange(4.0)])
    assert answer.trouble is None and abs(answer.value - 14) < 1e-9


@pytest.mark.skipif(sys.platform == "win32", reason="no rlimits")
def test_the_limits_of_a_submission():
    text = """
import resource
def f(name):
    return list(resource.getrlimit(getattr(resource, name)))
"""
    with runner.Student([("a", 1, text)], "f", runner.Limits(cpu=7)) as student:
        limits = {
            n: student.call([f"RLIMIT_{n}"]).value for n in ("CORE", "FSIZE", "NOFILE", "CPU")
        }
    assert limits == {
        "CORE": [0, 0], "FSIZE": [1 << 20, 1 << 20], "NOFILE": [64, 64], "CPU": [7, 7],
    }  # fmt: skip


# -- the wire --------------------------------------------------------------------------------------
@given(st.binary(max_size=300))
def test_no_bytes_end_the_reader(junk):
    for stream in (junk, len(junk).to_bytes(8, "big") + junk):
        try:
            child.receive(io.BytesIO(stream), trusted=False)
        except (ValueError, TypeError, KeyError, EOFError, OverflowError, RecursionError):
            pass


@given(st.text())
def test_text_of_a_submission_prints(text):
    shown = child.printable(text)
    assert all(c in "\n\t" or c.isprintable() for c in shown)
    assert shown == text or not all(c in "\n\t" or c.isprintable() for c in text)
    assert child.printable(shown) == shown


def test_a_call_that_waits_and_one_that_answers_too_much_have_an_end():
    slow = "import time\ndef f(x):\n    time.sleep(0.2)\n    return x\n"
    large = "import numpy as np\ndef f(x):\n    return np.zeros(1 << 17)\n"
    for text, limits, reason in (
        (slow, {"total": 0.1}, "all calls together took over 0.1 s"),
        (large, {"answers": 3 << 20}, "the answers of f are too large to keep"),
    ):
        with runner.Student([("a", 1, text)], "f", runner.Limits(**limits)) as student:
            answers = [student.call([float(i)]) for i in range(6)]
        assert answers[0].trouble is None and answers[-1].trouble.text == reason


def test_fresh_processes_of_one_file_share_its_time():
    """Or a file that takes long to load would have the whole time once a property."""
    slow = """
import time
def load():
    start = time.process_time()
    while time.process_time() - start < 0.3: pass
    return 1.0
K = load()
def f(x):
    return x * K
"""
    with runner.Student([("a", 1, slow)], "f", runner.Limits(total=0.9)) as student:
        assert student.call([1.0]).trouble is None
        reasons = []
        for _ in range(4):
            with student.fresh() as other:
                trouble = other.call([1.0]).trouble
                reasons.append(trouble and trouble.text)
        assert reasons[0] is None and reasons[-1] == "all calls together took over 0.9 s"
        assert student.used()[1] > 0.6


REASONS = {
    "a long line": ("def f(x):\n    raise KeyError" + " " * 90_000 + "('x')\n", "KeyError: 'x'"),
    "a long list": ("def f(x):\n    return [0.1] * 30_000\n", "arrays are passed on"),
    "many names": ("import numpy as np\ndef f(x):\n    return np.zeros(2, [(f'f{i}', 'f8') "
                   "for i in range(9000)])\n", None),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_what_is_long_has_its_own_reason(name):
    """And not that the process ended."""
    text, reason = REASONS[name]
    with runner.Student([("a", 1, text)], "f") as student:
        answer = student.call([1.0])
    assert (answer.trouble is None) if reason is None else (reason in answer.trouble.text)


def test_another_name_for_the_function_is_kept():
    text = "def f(x):\n    return x\n\nold = {}\ny = f(1)\n\ndef f(x):\n    return old(x) + 1\n"
    for old in ("f", "functools.partial(f)"):
        cells = [("a", 1, "import functools\n" + text.format(old))]
        with runner.Student(cells, "f") as student:
            assert student.call([1.0]).value == 2
