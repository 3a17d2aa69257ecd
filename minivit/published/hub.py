"""Published files, downloaded once: from huggingface.co, and google-research's from its storage.

    fetch("google/vit-base-patch16-224")                            # a folder
    fetch("gs://vit_models/imagenet21k+imagenet2012/ViT-B_16.npz")  # a file

They are kept in `cache()`. A file whose SHA-256 is known (KNOWN) is checked against it. Of any
other the one that came first is written down, in SHA256SUMS beside it, and one that is fetched
again must be the same; the first one is trusted. `sha256sum -c SHA256SUMS` checks them all.
"""

import contextlib
import hashlib
import os
import re
import sys
from pathlib import Path
from urllib.parse import quote

from minivit import files
from minivit.engine.errors import CheckpointError, DataError
from minivit.published import sentences, shipped, weights
from minivit.published.download import NotThere, download

HUB, STORAGE = "https://huggingface.co", "https://storage.googleapis.com"
OPTIONAL = (  # beside the weights, where a repository has them
    "config.json", "preprocessor_config.json", "tokenizer_config.json", "vocab.json", "merges.txt",
    "vocab.txt", "tokenizer.json", "source.spm", "target.spm", "sentencepiece.bpe.model",
    "open_clip_config.json", sentences.MODULES, sentences.PROMPTS, "sentence_bert_config.json",
    "1_Pooling/config.json",
)  # fmt: skip
WEIGHTS = (weights.WHOLE[0], weights.INDEX, weights.WHOLE[1])  # one of these
# name: (revision, {file: SHA-256}); revisions and sums that several independent projects publish.
# The weights of CLIP are there as safetensors in this revision only, which the hub's own converter
# made of the pickle in `main`.
KNOWN = {
    "openai/clip-vit-base-patch32": ("c237dc49a33fc61debc9276459120b7eac67e7ef", {}),
    "google/vit-base-patch16-224": ("3f49326eb077187dfe1c2a2bb15fbd74e6ab91e3", {}),
    "openai-community/gpt2": ("607a30d783dfa663caf39e06633721c8d4cfcd7e", {
        "model.safetensors": "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
        "config.json": "0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
        "vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        "merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    }),
    "google-bert/bert-base-uncased": ("86b5e0934494bd15c9632b12f734a8a67f723594", {
        "model.safetensors": "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    }),
    "sentence-transformers/all-MiniLM-L6-v2": ("1110a243fdf4706b3f48f1d95db1a4f5529b4d41", {
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    }),
}  # fmt: skip


def cache():
    """The folder of published models: $MINIVIT_CACHE, or models/ beside the data sets."""
    return Path(os.environ.get("MINIVIT_CACHE") or files.cache_folder() / "models")


def fetch(name):
    """The folder of a repository "owner/name" of the hub, or a file "gs://....npz" of google's
    storage, downloaded where it is not here yet; what cannot be had: DataError."""
    if name.startswith("gs://") and name.endswith(".npz") and ".." not in name:
        path = cache() / name.removeprefix("gs://")
        return _Source(path.parent, STORAGE + "/" + quote(name[5:].rpartition("/")[0])).one(
            path.name
        )
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise DataError(
            f"load: {name!r} is no file or folder here, none of the models that ship "
            f"({', '.join(shipped())}), and not a name such as {next(iter(KNOWN))!r} or "
            "'gs://vit_models/....npz'"
        )
    revision, known = KNOWN.get(name, ("main", {}))
    return _Source(cache() / name, f"{HUB}/{name}/resolve/{revision}", known).whole()


class _Source:
    """A folder here, an address there, and what is known of the files."""

    def __init__(self, folder, address, known=()):
        self.folder, self.address = folder, address
        self.sums = folder / "SHA256SUMS"
        self.known = {**self._recorded(), **dict(known)}

    def one(self, file):
        """The path of one file."""
        if not self._get(file):
            raise DataError(f"{self.address} has no file {file}")
        return self.folder / file

    def whole(self):
        """The folder, with the weights and what there is beside them; the weights come last, so
        that where they are, all is."""
        if not self._complete():
            print(f"{self.address}\n  is kept in {self.folder}", file=sys.stderr)
            for file in OPTIONAL:
                self._get(file)
            useful, needed = sentences.wanted(self.folder)
            for file in [*useful, *needed]:
                if not self._get(file) and file in needed:
                    raise DataError(
                        f"{self.address} has no {file}, a step that {sentences.MODULES} lists "
                        "(perhaps a pickle alone, which is never loaded)"
                    )
            if not any(self._get(file) for file in WEIGHTS):
                raise DataError(
                    f"{self.address} has none of {', '.join(WEIGHTS)}: perhaps a pickle alone, "
                    "pytorch_model.bin, which is never loaded. Download that yourself, convert it, "
                    f"and put model.safetensors into {self.folder}:\n  "
                    + weights.conversion("pytorch_model.bin")
                )
            for shard in self._shards():
                if not self._get(shard):
                    raise DataError(f"{self.address} has no {shard}, which {weights.INDEX} lists")
        self._check()
        return self.folder

    def _complete(self):
        found = any((self.folder / file).exists() for file in WEIGHTS)
        return found and all((self.folder / file).exists() for file in self._shards())

    def _shards(self):
        return weights.shards(self.folder) if (self.folder / weights.INDEX).exists() else []

    def _get(self, file):
        """Have one file here; False where the address has none."""
        path, address = self.folder / file, f"{self.address}/{quote(file)}"
        if path.exists():
            return True
        try:
            import pooch

            pooch.get_logger().setLevel("WARNING")
            pooch.retrieve(
                address, self.known.get(file), path.name, path.parent, downloader=download
            )
        except NotThere:
            if path.parent != self.folder:
                with contextlib.suppress(OSError):
                    path.parent.rmdir()  # which was made for it
            return False
        except ValueError as reason:  # another sum
            raise DataError(f"{address} is not the file that was expected: {reason}") from reason
        except Exception as reason:  # pooch not installed, offline, refused
            raise DataError(self._message(file, reason)) from reason
        self._record(file)
        return True

    def _message(self, file, reason):
        partial = self.folder / f"{file}.part"
        kept = f" ({partial.stat().st_size:,} bytes are kept)" if partial.exists() else ""
        wanted = [file] if file not in OPTIONAL + WEIGHTS else [WEIGHTS[0], OPTIONAL[0]]
        why = " ".join(f"{type(reason).__name__}: {reason}".split())
        why = why if len(why) < 150 else why[:150] + " ..."
        lines = [
            f"{file} is not here and could not be downloaded: {why}",
            f"Go online and run this again{kept}; pooch does it: pip install 'minivit[download]'.",
            f"Or put these files into {self.folder} yourself:",
            *(f"  {self.address}/{quote(each)}" for each in wanted),
        ]
        if len(wanted) > 1:
            lines.append(f"and of the following those that are there: {', '.join(OPTIONAL[1:])}")
        return "\n".join(lines)

    # -- sums --------------------------------------------------------------------------------------
    def _recorded(self):
        """{file: SHA-256} of SHA256SUMS."""
        if not self.sums.exists():
            return {}
        lines = (line.split("  ", 1) for line in self.sums.read_text("utf-8").splitlines())
        return {line[1]: line[0] for line in lines if len(line) == 2}

    def _record(self, file):
        """Write the sum of a file down; one that is known must be the same."""
        with open(self.folder / file, "rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if self.known.setdefault(file, found) != found:
            raise CheckpointError(
                f"{self.folder / file} has SHA-256 {found}, expected {self.known[file]}: it is "
                "damaged or another file. Delete it, and fetch it again"
            )
        with open(self.sums, "a", encoding="utf-8") as sums:
            sums.write(f"{found}  {file}\n")

    def _check(self):
        """Files that somebody put here: those whose sum is known are checked, once."""
        for file in self.known.keys() - self._recorded().keys():
            if (self.folder / file).exists():
                self._record(file)
