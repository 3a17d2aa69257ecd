"""Answers that are alike: pairs of students, and students and the published solutions.

An answer is cut into tokens (comments, text and layout are left out), and each run of LONG tokens
is a shingle. Two answers are as alike as the share of their shingles that both have, without those
of the starter. (Broder, On the resemblance and containment of documents, 1997.) Short right answers
are alike by themselves, so this orders what a person may want to read and accuses nobody.
"""

import io
import keyword
import tokenize
from collections import defaultdict

from minivit.grading import submission

LONG = 6  # tokens of a shingle
ALIKE = 0.75  # share from which a pair is named
FEWEST = 20  # shingles of an answer that is compared
MOST_SHOWN = 50  # pairs of an exercise
LEFT_OUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
            tokenize.ENCODING, tokenize.ENDMARKER}  # fmt: skip


def shingles(cells, names=True):
    """The set of shingles of some cells; names=False: any name is one name, any number one."""
    found = []
    for text in cells:
        try:
            for token in tokenize.generate_tokens(io.StringIO(text).readline):
                if token.type not in LEFT_OUT and not token.string.startswith(('"""', "'''")):
                    found.append(token.string if names else _kind(token))
        except (tokenize.TokenError, SyntaxError):  # a broken cell: what came before it
            continue
    return {hash(tuple(found[i : i + LONG])) for i in range(len(found) - LONG + 1)}


def _kind(token):
    if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
        return "name"
    return {tokenize.NUMBER: "number", tokenize.STRING: "text"}.get(token.type, token.string)


def of_file(path):
    return [text for _, _, text in submission.read(path).cells]


def pairs(answers, starter=(), names=True):
    """[(share, a, b)] of the answers {name: cells} that are alike, the most alike first."""
    common = shingles(starter, names)
    sets = {who: shingles(cells, names) - common for who, cells in answers.items()}
    sets = {who: there for who, there in sets.items() if len(there) >= FEWEST}
    where = defaultdict(list)
    for who, there in sets.items():
        for shingle in there:
            where[shingle].append(who)
    shared = defaultdict(int)
    for students in where.values():
        for i, a in enumerate(students):
            for b in students[i + 1 :]:
                shared[a, b] += 1
    found = []
    for (a, b), n in shared.items():
        share = n / (len(sets[a]) + len(sets[b]) - n)
        if share >= ALIKE:
            found.append((share, a, b))
    return sorted(found, key=lambda f: (-f[0], f[1], f[2]))[:MOST_SHOWN]
