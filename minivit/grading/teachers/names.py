"""The exercise that a file answers, by its name as people and systems leave it.

`02_attention.ipynb` comes back as `doejane_12345_67890_02_attention-1.ipynb`,
`02_Attention (1).py`, `02-attention-Copy1.IPYNB`, `02_attention.py.txt`, `02_attention.ipynb.json`.
"""

import re
from dataclasses import dataclass

READ = (".py", ".ipynb")
AROUND = (".txt", ".json")  # what browsers and mail programs put behind a name
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2")
UNREAD_ARCHIVES = (".rar", ".7z", ".tar.xz", ".txz", ".gz", ".bz2", ".xz", ".zst", ".dmg")
JUNK = {"__macosx", ".git", "__pycache__", ".ds_store", "thumbs.db", "desktop.ini", ".venv",
        "node_modules", ".idea", ".vscode", ".pytest_cache", ".spotlight-v100", ".trashes",
        ".github"}  # fmt: skip
COPIES = ".ipynb_checkpoints"  # Jupyter's own, older copies
SOLUTIONS = "source"  # the folder of a fork that holds the published ones


@dataclass(frozen=True)
class Name:
    """The meaning of a file's name. `before`: the part before the exercise, perhaps a name."""

    exercise: object
    suffix: str  # ".py", ".ipynb", "" (its content says which), or another: it is not read
    before: str


def read(name, exercises):
    """The Name of a path's last part, or None where it names no exercise. Of several exercises the
    one with the longest name: "attention_gradient" begins as "attention" does."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1].strip()
    for exercise in sorted(exercises, key=lambda e: len(e.function), reverse=True):
        words = exercise.function.split("_")
        pattern = r"(?<![0-9])0?[0-9]{1,2}[ _.+-]*" + r"[ _.+-]?".join(words) + r"(?![a-zA-Z])(.*)$"
        found = re.search(pattern, last, re.IGNORECASE | re.DOTALL)
        if found:
            return Name(exercise, _suffix(found[1]), last[: found.start()])
    return None


def _suffix(rest):
    """Of what stands behind the exercise's name, such as "-1.ipynb.json" or " (2).py"."""
    parts = re.findall(r"\.[a-z0-9]{1,12}(?=$|[.\s(])", rest.lower())
    parts = [part for part in parts if not part[1:].isdigit()]
    if not parts:
        return ""
    if parts[-1] in READ:
        return parts[-1]
    if parts[-1] not in AROUND:
        return parts[-1]
    inner = [part for part in parts if part in READ]
    return inner[-1] if inner else ""


def is_archive(name):
    return name.lower().strip().endswith(ARCHIVES)


def is_unread_archive(name):
    return name.lower().strip().endswith(UNREAD_ARCHIVES) and not is_archive(name)


def is_junk(name):
    """True if some part of a path is a file or folder that machines make unasked."""
    parts = [part.strip().lower() for part in name.replace("\\", "/").split("/")]
    hidden = parts[-1].startswith(".") and not parts[-1].endswith((*READ, *ARCHIVES))
    return hidden or any(part in JUNK or part.startswith("._") for part in parts)


def is_copy(name):
    return COPIES in name.lower().replace("\\", "/").split("/") or "-checkpoint." in name.lower()


def is_solution(name):
    """True if a file lies in a folder `source`."""
    return SOLUTIONS in [part.lower() for part in name.replace("\\", "/").split("/")[:-1]]
