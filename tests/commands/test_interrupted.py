"""`minivit` interrupted at any moment: one line, status 130, nothing else."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHEN_IMPORTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
module, sys.argv = sys.argv[1], ["minivit", *sys.argv[2:]]
class Finder:
    def find_spec(name, path=None, target=None):
        if name == module:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder)
import minivit_command
sys.exit(minivit_command.main())
"""
IN_A_CALLBACK = """
import gc, signal, sys, time, types
signal.signal(signal.SIGINT, signal.default_int_handler)
def main():
    first = [True]
    def callback(phase, info):
        if first and first.pop():
            signal.raise_signal(signal.SIGINT)
            [None for _ in range(10)]  # Python looks for signals between two instructions
    gc.callbacks.append(callback)
    gc.collect()
    time.sleep(60)
sys.modules["minivit.commands"] = types.SimpleNamespace(main=main)
import minivit_command
sys.exit(minivit_command.main())
"""


def run(script, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT, capture_output=True, text=True, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    "module", ["minivit", "numpy", "minivit.engine.graph", "argparse", "minivit.commands.watch",
               "PIL.Image", "minivit.published.clip"]
)  # fmt: skip
def test_while_a_module_is_read(module):
    photo = ROOT / "data" / "photos" / "coffee.png"
    done = run(WHEN_IMPORTED, module, "classify", photo, "--model", "emoji", "--labels", "a")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_in_a_callback_where_python_drops_it():
    done = run(IN_A_CALLBACK)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_where_interrupts_are_ignored_they_stay_so():
    script = WHEN_IMPORTED.replace(
        "import minivit_command",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nimport minivit_command",
    )
    done = run(script, "minivit", "--version")
    assert done.returncode == 0 and done.stdout.startswith("minivit ") and not done.stderr


def test_it_is_the_program_that_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {"minivit": "minivit_command:main"}
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "minivit_command.py" in wheel["only-include"]
