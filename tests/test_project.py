"""The project around the code: commands, environment, README, and what must not be committed."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PLAIN = [Requirement(r) for r in PROJECT["dependencies"] + EXTRAS["lab"] + EXTRAS["test"]]
DIRECT = PLAIN + [Requirement(r) for r in EXTRAS["mpi"]]  # conda has these on no Windows

needs_make = pytest.mark.skipif(
    os.name == "nt" or not shutil.which("make"), reason="no make: a README section says how"
)
needs_git = pytest.mark.skipif(
    not shutil.which("git") or not (ROOT / ".git").exists(), reason="not a git clone"
)


# -- the environment, written down three times -----------------------------------------------------
def test_environment_yml_and_pyproject_agree():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert conda["name"] == "minivit" and conda["channels"] == ["conda-forge", "nodefaults"]
    *packages, last = conda["dependencies"]
    assert last == {"pip": ["-e ."]}
    bounds = {r.name: r.specifier for r in map(Requirement, packages)}
    assert PROJECT["requires-python"] in str(bounds.pop("python"))
    assert not bounds.pop("pip")
    assert bounds == {r.name: r.specifier for r in PLAIN}


def pins():
    """constraints.txt as {name: (version, marker or None)}; each line checked for its form."""
    found = {}
    for number, text in enumerate((ROOT / "constraints.txt").read_text().splitlines(), 1):
        if text.startswith("#"):
            continue
        form = re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)( ; .+)?", text)
        assert form, f"constraints.txt:{number}: {text!r} is not name==version"
        assert form[1] not in found, f"{form[1]} is pinned twice"
        found[form[1]] = form[2], Requirement(text).marker
    return found


def test_each_direct_dependency_is_pinned_within_its_bounds():
    pinned = pins()
    for requirement in DIRECT:
        version, marker = pinned[canonicalize_name(requirement.name)]
        assert marker == requirement.marker and requirement.specifier.contains(version), requirement


def needed():
    """All packages that the direct dependencies need here, as installed: {name: distribution}."""
    queue, seen, found = [(r, "") for r in DIRECT], set(), {}
    while queue:
        requirement, extra = queue.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        found[name] = metadata.distribution(name)
        for wanted in ["", *requirement.extras]:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                queue += [(Requirement(r), wanted) for r in found[name].requires or []]
    return found


def test_constraints_name_the_whole_environment_and_nothing_else():
    here = {name for name, (_, marker) in pins().items() if not marker or marker.evaluate()}
    assert here == set(needed())


def test_each_pin_serves_the_first_patch_release_of_each_python():
    pinned = pins()
    for name, distribution in needed().items():
        if distribution.version == pinned[name][0] and distribution.metadata["Requires-Python"]:
            allowed = Requirement(f"x {distribution.metadata['Requires-Python']}").specifier
            for python in ("3.11.0", "3.12.0", "3.13.0"):
                assert allowed.contains(python), f"{name}=={distribution.version}: {allowed}"


# -- the commands ----------------------------------------------------------------------------------
def make(*arguments, **surroundings):
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={**os.environ, **surroundings},
        capture_output=True,
        text=True,
        timeout=60,
    )


def targets():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)[1].split()


@needs_make
def test_help_names_every_command_and_is_what_make_says_alone():
    said = make("help").stdout
    assert [text.split()[1] for text in said.splitlines()] == targets()
    assert all(len(text.split()) > 3 for text in said.splitlines()) and make().stdout == said


@needs_make
@pytest.mark.parametrize(
    ("prelude", "says"),
    [
        ("import sys; sys.version_info = (3, 10, 4)", "needs Python 3.11 or newer; "),
        ("import sys; sys.version_info = (3, 10, 4)", "is Python 3.10.\nName another one: make"),
        ("import sys; sys.modules['ensurepip'] = None", "sudo apt install python3-venv"),
    ],
)
def test_a_python_that_will_not_do_is_told_before_anything_is_made(tmp_path, prelude, says):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{prelude}\n$2"\n')
    python.chmod(0o755)
    result = make("test", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
    assert result.returncode and says in result.stderr and "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["python"]


@needs_make
def test_a_python_that_is_not_there_is_told(tmp_path):
    result = make("lectures", "PYTHON=no-such-python", f"VENV={tmp_path / 'venv'}")
    assert result.returncode and "no-such-python: no such command" in result.stdout
    assert "make PYTHON=python3.12" in result.stdout


def ci(folder, fails="nothing", programs=("chromium", "npm"), **surroundings):
    """.ci/run where `make` only says what it is asked, with these programs and no others."""
    for name in ("bash", "dirname", "id", "env"):
        (folder / name).symlink_to(shutil.which(name))
    for name in ("make", *programs):
        asked = f'echo "$PWD make $*"\n[ "$*" != "{fails}" ]\n' if name == "make" else "exit 1\n"
        (folder / name).write_text(f"#!{shutil.which('sh')}\n{asked}")
        (folder / name).chmod(0o755)
    return subprocess.run(
        [ROOT / ".ci" / "run"],
        env={"PATH": str(folder), **surroundings},
        cwd=folder,
        capture_output=True,
        text=True,
    )


CI_RUNS = ["test", "wheel", "install-pages", "-j2 -O lectures test-browser"]


@pytest.mark.skipif(os.name == "nt", reason="bash")
@pytest.mark.parametrize("fails", ["nothing", *CI_RUNS])
def test_ci_runs_tests_wheel_browser_and_lectures_and_fails_where_they_fail(tmp_path, fails):
    result = ci(tmp_path, fails)
    ran = CI_RUNS if fails == "nothing" else CI_RUNS[: CI_RUNS.index(fails) + 1]
    assert result.stdout.splitlines() == [f"{ROOT} make {what}" for what in ran], result.stderr
    assert (result.returncode == 0) == (fails == "nothing")


@pytest.mark.skipif(os.name == "nt", reason="bash")
@pytest.mark.parametrize("programs", [(), ("chromium",), ("npm", "apt-get")])
def test_ci_without_a_browser_fails_and_elsewhere_it_says_what_is_left_out(tmp_path, programs):
    for folder in ("here", "ci"):
        (tmp_path / folder).mkdir()
    here = ci(tmp_path / "here", programs=programs)
    assert here.returncode == 0 and "make lectures" in here.stdout
    assert "LEFT OUT: the browser tests" in here.stdout and "make test-browser" not in here.stdout
    there = ci(tmp_path / "ci", programs=programs, CI="true")
    assert there.returncode == 1 and "need chromium and npm" in there.stderr
    assert "make lectures" not in there.stdout


# -- README ----------------------------------------------------------------------------------------
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_opens_with_the_two_commands():
    block = re.search(r"```sh\n(.*?)```", README, re.DOTALL)
    assert README.index(block[0]) < 20
    commands = [line.split("#")[0].split() for line in block[1].splitlines()]
    assert commands == [["make", "lectures"], ["make", "test"]]


def test_readme_names_only_commands_and_files_that_exist():
    named = set(re.findall(r"`make ([a-z-]+)`", README))
    assert named and named <= set(targets())
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) > 8
    for link in links:
        assert (ROOT / link).exists(), link


def test_readme_example_runs_and_prints_what_it_says(capsys):
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    exec(example, {})
    assert re.findall(r"\d\.", capsys.readouterr().out) == ["2.", "4."]


# -- what must not be committed --------------------------------------------------------------------
@needs_git
def test_no_committed_file_names_a_package_index_or_a_path_of_one_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    hosts = "|".join(["pypi" + r"\.org", "python" + "hosted", r"https?://\S+\.whl\b"])
    homes = r"(?:^|[\s\"'=(:])/(?:root|work|home/\w+|Users/\w+)/\w"
    for name in listed.stdout.decode().split("\0")[:-1]:
        path = ROOT / name
        content = path.read_bytes() if path.is_file() else b""
        if b"\0" in content:
            continue  # not text
        found = re.search(f"{hosts}|{homes}", content.decode("utf-8"), re.MULTILINE)
        assert not found, f"{name}: {found[0]!r}"


# -- a fresh machine -------------------------------------------------------------------------------
@pytest.mark.slow
@needs_make
@needs_git
def test_a_fresh_clone_makes_its_environment_once_and_a_wheel_holds_the_data(tmp_path):
    clone, home = tmp_path / "a clone", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    kept = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "HTTP", "http"))}
    environment = {**kept, "HOME": str(home), "PATH": os.environ["PATH"]}

    def run(*command):
        result = subprocess.run(
            command, cwd=clone, env=environment, capture_output=True, text=True, timeout=900
        )
        return result.returncode, result.stdout + result.stderr

    python = f"PYTHON={sys.executable}"
    code, said = run("make", python, "notebooks")
    assert code == 0 and "Installing into .venv" in said, said
    assert "Installing" not in run("make", python, "notebooks")[1]
    (clone / "constraints.txt").touch()
    assert run("make", "-n", python, "notebooks")[1].count("pip install") == 1
    program = "from minivit import course; from minivit.training import data; data.digits()"
    code, said = run(".venv/bin/python", "-c", program)
    assert code == 0, said
    code, said = run(*(".venv/bin/python", "-m", "pip", "wheel", "-q", "--no-deps", "."))
    assert code == 0, said
    (wheel,) = clone.glob("*.whl")
    held = zipfile.ZipFile(wheel).namelist()
    for name in ("minivit/course/course.toml", "minivit/data/digits.npz"):
        assert name in held
    assert any(name.endswith("licenses/LICENSE") for name in held)
    assert not any(name.startswith(("tests/", "lectures/")) for name in held)
    assert run("make", "clean")[0] == 0 and not (clone / ".venv").exists()
