"""What ships of WordNet 3.0: sentences and definitions.

- wordnet-sentences.txt.gz: 20,000 example sentences, one a line, in random order. An example stands
  in quotes in the gloss of a synset. Kept are those of 4 to 24 words in plain characters.
- wordnet-definitions.tsv.gz: 8,000 nouns with their glosses, 800 of each of ten kinds (WordNet's
  lexicographer files), of which 100 are held out.
- build/wordnet-definitions-all.tsv.gz, which does not ship: all definitions, for the long run that
  trains `models/dictionary` (python -m minivit.course.runs dictionary).

Left out are synsets that WordNet itself calls obscene, offensive or a slur, and what is not for
every classroom.
"""

import gzip
import re
import tempfile

import numpy as np
from packages import HERE, from_debian, save_gz

from minivit import files

RUDE = re.compile(r"\b(obscen|vulgar|offensive|disparag|slur|derogat|taboo|abusive)", re.I)
USAGE = {"obscenity", "disparagement", "ethnic_slur", "depreciation"}  # synsets of such a use
COARSE = re.compile(
    r"\b(fuck|shit|bitch|whore|piss|masturb|prostitut|rap(e|ed|ist)\b|sex(ual|y)|erotic|porn|penis|"
    r"vagina|orgas|pervert|lynch|exterminat|goddam|spic\b|nigger|negro)",
    re.I,
)
PLAIN = re.compile(r"[A-Za-z0-9 ,.;:!?'$%&()-]+")
CLASSES = {"n": "noun", "v": "verb", "a": "adjective", "r": "adverb"}
# Ten of the 45 lexicographer files, by number (lexnames(5WN)); all others are "other" here
KINDS = {"04": "deed", "05": "animal", "06": "thing", "08": "body", "13": "food", "15": "place",
         "18": "person", "20": "plant", "27": "substance", "28": "time"}  # fmt: skip
TRAIN, HELD_OUT = 700, 100  # of each kind, in the file that ships


def synsets(folder):
    """(key, words, keys of usage domains, gloss, file) of each synset; a key is (offset, class)."""
    for kind, name in zip("nvar", ("noun", "verb", "adj", "adv"), strict=True):
        for line in (folder / f"data.{name}").read_text(encoding="latin-1").splitlines():
            if line.startswith(" "):  # the licence
                continue
            fields, gloss = line.split(" | ", 1)
            offset, file, _, count, *rest = fields.split()
            words = [rest[i] for i in range(0, 2 * int(count, 16), 2)]
            usage = re.findall(r";u (\d{8}) ([nvar])", fields)
            yield (offset, kind), words, usage, gloss, file


def clean(everything):
    """Those that are for every classroom."""
    rude = {key for key, words, *_ in everything if USAGE & {word.lower() for word in words}}
    for row in everything:
        key, _, usage, gloss, _ = row
        if key not in rude and not rude & set(usage) and not RUDE.search(gloss):
            yield row


def definitions(rows):
    """Lines "part, kind, class, words, gloss", a ninth held out, in random order."""
    kept = []
    for (_, letter), words, _, gloss, file in rows:
        names = [re.sub(r"\([a-z]+\)$", "", word).replace("_", " ") for word in words]
        gloss = " ".join(gloss.replace("`", "'").split())
        plain = PLAIN.fullmatch(gloss.replace('"', "")) and all(map(PLAIN.fullmatch, names))
        if plain and not COARSE.search(gloss) and not any(map(COARSE.search, names)):
            kept.append((KINDS.get(file, "other"), CLASSES[letter], "|".join(names), gloss))
    order = np.random.default_rng(0).permutation(len(kept))
    parts = np.where(np.arange(len(kept)) % 9 == 0, "held out", "train")
    return [(part, *kept[i]) for part, i in zip(parts, order)]


def that_ship(lines):
    """The first `TRAIN` and `HELD_OUT` of each kind."""
    left = {(part, kind): n for kind in KINDS.values()
            for part, n in (("train", TRAIN), ("held out", HELD_OUT))}  # fmt: skip
    for line in lines:
        if left.get(line[:2], 0):
            left[line[:2]] -= 1
            yield line


def table(lines):
    return "".join("\t".join(line) + "\n" for line in lines)


with tempfile.TemporaryDirectory() as folder:
    everything = list(synsets(from_debian("wordnet-base=1:3.0-37", folder) / "usr/share/wordnet"))

sentences = set()
decent = list(clean(everything))
for _, _, _, gloss, _ in decent:
    for example in re.findall(r'"([^"]+)"', gloss):
        text = " ".join(example.strip(" ;,").replace("`", "'").split())
        wanted = 4 <= len(text.split()) <= 24 and PLAIN.fullmatch(text) and "(or " not in text
        if wanted and not COARSE.search(text):
            sentences.add(text)

print(f"{len(sentences):,} sentences to draw from")
order = np.random.default_rng(0).permutation(len(sentences))[:20_000]
pool = sorted(sentences)
save_gz("wordnet-sentences.txt.gz", "".join(pool[i] + "\n" for i in order))

lines = definitions(decent)
print(f"{len(lines):,} definitions")
save_gz("wordnet-definitions.tsv.gz", table(that_ship(lines)))
build = HERE.parent / "build" / "wordnet-definitions-all.tsv.gz"
files.write_whole(build, gzip.compress(table(lines).encode(), 9, mtime=0))
