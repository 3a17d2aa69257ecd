"""The exercise that a file answers, by its name as people and systems leave it.

`02_attention.ipynb` comes back as `doejane_12345_67890_02_attention-1.ipynb`,
`02_Attention (1).py`, `02–attention-Copy1.IPYNB`, `Kopie von 02_attention.ipynb`,
`02%20attention.py`, `02_attention.py.txt`, `02_attention.ipynb.json`.
"""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

READ = (".py", ".ipynb")
AROUND = (".txt", ".json")  # what browsers and mail programs put behind a name
AGAIN = r"(?:[\s_.-]*+(?:\(?\d++\)?|copy|txt|download))*+\s*$"  # behind the name of an archive
ARCHIVE = re.compile(r"\.(zip|tar|tar\.gz|tgz|tar\.bz2|tbz2)" + AGAIN, re.IGNORECASE)
UNREAD_ARCHIVE = re.compile(
    r"\.(rar|7z|zipx|txz|gz|bz2|xz|zst|lz|lzma|lzh|z|arj|ace|cab|dmg|iso|sitx?)" + AGAIN,
    re.IGNORECASE,
)
JUNK = {"__macosx", ".git", "__pycache__", ".ds_store", "thumbs.db", "desktop.ini", ".venv",
        "node_modules", ".idea", ".vscode", ".pytest_cache", ".spotlight-v100", ".trashes",
        ".github", ".appledouble", "site-packages", "icon\r"}  # fmt: skip
JUNK_ENDS = (":zone.identifier", ".pyc", ".pyo")
COPY_OF = re.compile(r"\b(copy of|kopie von|copie de|copia de|cópia de)\b", re.IGNORECASE)
AROUND_A_NAME = " _-–—.+,;:#()[]"
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
    last = simple(name.replace("\\", "/").rsplit("/", 1)[-1])
    for exercise in sorted(exercises, key=lambda e: len(e.function), reverse=True):
        words = r"[\W_]{0,2}".join(exercise.function.split("_"))
        pattern = r"(?<![0-9])0?[0-9]{1,2}[\W_]{0,3}" + words + r"(?![a-zA-Z])(.*)$"
        found = re.search(pattern, last, re.IGNORECASE | re.DOTALL)
        if found:
            before = COPY_OF.sub("", last[: found.start()]).strip(AROUND_A_NAME)
            return Name(exercise, suffix(found[1]), before)
    return None


def simple(name):
    """A name without what is not seen (marks of direction), wide letters, and percent signs."""
    name = unicodedata.normalize("NFKC", unquote(name, errors="replace"))
    return "".join(c for c in name if unicodedata.category(c) != "Cf").strip()


def suffix(rest):
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


def is_code(name):
    """True if a name ends as code does."""
    return suffix(simple(name)) in READ


def is_archive(name):
    return ARCHIVE.search(name) is not None


def without_archive(name):
    """`ada` of ada.tar.gz."""
    return UNREAD_ARCHIVE.sub("", ARCHIVE.sub("", name))


def is_unread_archive(name):
    return UNREAD_ARCHIVE.search(name) is not None and not is_archive(name)


def is_junk(name):
    """True if some part of a path is a file or folder that machines make unasked."""
    parts = [part.lower() for part in name.replace("\\", "/").split("/")]
    last = parts[-1].strip()
    hidden = last.startswith(".") and not (last == COPIES or last.endswith(READ) or
                                           is_archive(last))  # fmt: skip
    junk = any(part.strip() in JUNK or part in JUNK or part.startswith("._") for part in parts)
    return hidden or junk or last.startswith(("~$", ".#")) or last.endswith(JUNK_ENDS)


def is_copy(name):
    return COPIES in name.lower().replace("\\", "/").split("/") or "-checkpoint." in name.lower()


def is_solution(name):
    """True if a file lies in a folder `source`."""
    return SOLUTIONS in [part.lower() for part in name.replace("\\", "/").split("/")[:-1]]
