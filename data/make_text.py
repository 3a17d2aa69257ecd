"""wordnet-sentences.txt.gz: 20,000 example sentences of WordNet 3.0, one a line, in random order.

An example stands in quotes in the gloss of a synset. Kept are those of 4 to 24 words in plain
characters; left out are synsets that WordNet itself calls obscene, offensive or a slur, and what
is not for every classroom.
"""

import re
import tempfile

import numpy as np
from packages import from_debian, save_gz

RUDE = re.compile(r"\b(obscen|vulgar|offensive|disparag|slur|derogat|taboo|abusive)", re.I)
USAGE = {"obscenity", "disparagement", "ethnic_slur", "depreciation"}  # synsets of such a use
COARSE = re.compile(
    r"\b(fuck|shit|bitch|whore|piss|masturb|prostitut|rap(e|ed|ist)\b|sex(ual|y)|erotic|porn|penis|"
    r"vagina|orgas|pervert|lynch|exterminat|goddam|spic\b|nigger|negro)",
    re.I,
)
PLAIN = re.compile(r"[A-Za-z0-9 ,.;:!?'$%&()-]+")


def synsets(folder):
    """(key, words, keys of usage domains, gloss) of each synset; a key is (offset, kind)."""
    for kind, name in zip("nvar", ("noun", "verb", "adj", "adv"), strict=True):
        for line in (folder / f"data.{name}").read_text(encoding="latin-1").splitlines():
            if line.startswith(" "):  # the licence
                continue
            fields, gloss = line.split(" | ", 1)
            offset, _, _, count, *rest = fields.split()
            words = {rest[i].lower() for i in range(0, 2 * int(count, 16), 2)}
            usage = re.findall(r";u (\d{8}) ([nvar])", fields)
            yield (offset, kind), words, usage, gloss


with tempfile.TemporaryDirectory() as folder:
    everything = list(synsets(from_debian("wordnet-base=1:3.0-37", folder) / "usr/share/wordnet"))

rude = {key for key, words, _, _ in everything if words & USAGE}
sentences = set()
for _, words, usage, gloss in everything:
    if rude & set(usage) or RUDE.search(gloss) or words & USAGE:
        continue
    for example in re.findall(r'"([^"]+)"', gloss):
        text = " ".join(example.strip(" ;,").replace("`", "'").split())
        wanted = 4 <= len(text.split()) <= 24 and PLAIN.fullmatch(text) and "(or " not in text
        if wanted and not COARSE.search(text):
            sentences.add(text)

print(f"{len(sentences):,} sentences to draw from")
order = np.random.default_rng(0).permutation(len(sentences))[:20_000]
pool = sorted(sentences)
save_gz("wordnet-sentences.txt.gz", "".join(pool[i] + "\n" for i in order))
