"""Files: one is written whole or not at all, and what ships with the library is found."""

import contextlib
import os
import secrets
from pathlib import Path


def write_whole(path, content):
    """Write `content` (bytes or text) so that a reader, or a crash, meets the old file or the new.

    Folders on the way are made. An error leaves the old file, and nothing beside it.
    """
    with writing_whole(path) as half:
        half.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def writing_whole(path):
    """The same for a writer that wants a path: it gets one beside `path`, which takes its place in
    the end."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        yield half
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def data_folder():
    """Where the data sets, small models and kept results are: in the package that is installed, or
    beside it in a checkout."""
    installed = Path(__file__).parent / "data"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "data"


def cache_folder():
    """Where downloads are kept: the folder $MINIVIT_DATA, or ~/.cache/minivit."""
    return Path(os.environ.get("MINIVIT_DATA") or Path.home() / ".cache" / "minivit")
