"""A download that goes on where it stopped. pooch, which calls it, checks the SHA-256 of the whole
and moves it into place; its own downloader begins anew each time (pooch 1.9)."""

import os
from pathlib import Path

PIECE = 1 << 16  # bytes read at a time; what came of a piece when the line breaks is lost
PATIENCE = 30  # seconds without an answer


class NotThere(Exception):
    """The address has no such file (404), which for an optional one is no error."""


def download(url, output_file, _pooch, check_only=False):
    """Fetch `url` into `output_file`.

    The part that came so far lies in NAME.part beside it, with the server's mark of that version
    (its ETag) in NAME.part.etag: the rest is asked for by `Range`, and only `If-Range` that mark
    is still the file's, else the server sends the whole.
    """
    import requests
    from tqdm.auto import tqdm

    name = url.rpartition("/")[2]
    partial = Path(output_file).parent / f"{name}.part"
    mark = partial.with_name(f"{partial.name}.etag")
    have = partial.stat().st_size if partial.exists() and mark.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes: ranges count those
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": mark.read_text()}
    with requests.get(url, stream=True, timeout=PATIENCE, headers=headers) as answer:
        if answer.status_code == 404:
            raise NotThere(url)
        if answer.status_code == 416:  # more is here than there
            partial.unlink()
            return download(url, output_file, _pooch)
        answer.raise_for_status()
        have = have if answer.status_code == 206 else 0
        if have and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise ConnectionError(f"asked for the bytes from {have} on, got others")
        etag = answer.headers.get("ETag", "")
        if etag and not etag.startswith("W/"):  # a weak one does not promise the same bytes
            mark.write_text(etag)
        elif not have:
            mark.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        small = total is not None and total < 10 * PIECE
        bar = tqdm(
            desc=name, total=total, initial=have, unit="B", unit_scale=True, disable=small
        )  # fmt: skip
        with open(partial, "ab" if have else "wb") as file, bar:
            for piece in answer.iter_content(PIECE):
                file.write(piece)
                bar.update(len(piece))
    if total is not None and partial.stat().st_size != total:
        raise ConnectionError(f"{partial.stat().st_size} of {total} bytes came")
    os.replace(partial, output_file)
    mark.unlink(missing_ok=True)
