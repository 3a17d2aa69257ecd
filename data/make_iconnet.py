"""iconnet.json.gz and icons.npz: IconNet, the classification set in the icons, and what ships.

    python data/make_icons.py && python data/make_iconnet.py

A class is a concept that 15 sets or more draw: a name without what says style or size. Names of the
same words in another order are one class ("circle-check", "check-circle"), but for corners, where
order is meaning. Families of sets, not icons, are in training, validation or test. A family is the
sets with one first word ("streamline-...", "fa6-..."), joined with others whose drawings it copies.
Of pictures that are nearly equal within a class and between parts, the later part's are left out;
equal ones are kept once in all. iconnet.json.gz is the frozen list, icons.npz the commonest
classes' pictures.
"""

import collections
import hashlib
import json
import zlib

import numpy as np
from packages import save_gz, save_npz
from tqdm.auto import tqdm

from minivit.training import icon_cache, icons

SETS = 15  # sets that draw a class
NEAR = 0.06  # pictures nearer than this, root of the mean square of 16x16 in 0..1, are copies
COPIES = 0.25  # families are joined where this share of one's drawings are copies of the other's
FEW = 20  # and at least as many can be compared
SHARES = {"test": 0.20, "validation": 0.06}  # of the pictures; a larger family than 5% is trained
SHIPS, SIZE = 300, 19_500  # classes in the part that ships, and at most as many pictures
# Names of trademarks are left out (sets.json), but not these, which are words first
WORDS = {"box", "signal", "atom", "meteor", "bamboo", "spring", "vault", "wire", "helm", "threads"}


# -- classes ---------------------------------------------------------------------------------------
def key(concept):
    """Names of the same words are one class, but for corners."""
    words = concept.split("-")
    return concept if words[0] == "corner" else "-".join(sorted(words))


def classes(names, prefixes, trademarks):
    """({set: the class of each icon, or None}, names of the classes, the commonest first)."""
    keys, drawn, spelt = {}, collections.defaultdict(set), collections.Counter()
    for name, some in names.items():
        concepts = [icons.concept(icon, prefixes[name]) for icon in some]
        keys[name] = [key(c) for c in concepts]
        for k, c in zip(keys[name], concepts):
            drawn[k].add(name)
            spelt[k, c] += 1
    best = {}
    for (k, c), _ in sorted(spelt.items(), key=lambda item: (-item[1], item[0])):
        best.setdefault(k, c)
    left_out = set(trademarks) - WORDS
    common = [
        k for k in sorted(drawn, key=lambda k: (-len(drawn[k]), k))
        if len(drawn[k]) >= SETS and best[k] not in left_out and not k.replace("-", "").isdecimal()
    ]  # fmt: skip
    number = {k: i for i, k in enumerate(common)}
    return {n: [number.get(k) for k in some] for n, some in keys.items()}, [best[k] for k in common]


# -- copies ----------------------------------------------------------------------------------------
def reduced(images):
    """Bytes (n, 32, 32) -> (n, 256) in 0..1: means of 2 x 2."""
    n = len(images)
    small = images.reshape(n, 16, 2, 16, 2).mean((2, 4), dtype=np.float32)
    return small.reshape(n, 256) / np.float32(255)


def distances(a, b):
    """Root of the mean square between pictures (n, 256) and (m, 256): (n, m)."""
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(square, 0) / a.shape[1])


def shared(small, labels, families):
    """Of each two families: how many drawings of one could be compared with the other's of the same
    class, and how many are copies: two dicts of (family, other)."""
    compared, copied = collections.Counter(), collections.Counter()
    for label in tqdm(range(labels.max() + 1), "families", leave=False):
        here = np.flatnonzero(labels == label)
        close = distances(small[here], small[here]) < NEAR
        of = families[here]
        kinds = np.unique(of)
        hits = np.stack([close[:, of == k].any(1) for k in kinds], axis=1)  # (n, families)
        for i, k in enumerate(kinds):
            for j, other in enumerate(kinds):
                if i != j:
                    compared[k, other] += int((of == k).sum())
                    copied[k, other] += int(hits[of == k, j].sum())
    return compared, copied


def joined(names, compared, copied):
    """{family: the family that it is joined to}; and the pairs that were joined, with shares."""
    root = {name: name for name in names}

    def find(name):
        while root[name] != name:
            name = root[name]
        return name

    pairs = []
    for (a, b), n in sorted(compared.items()):
        if n >= FEW and copied[a, b] >= COPIES * n:
            pairs.append((names[a], names[b], round(copied[a, b] / n, 2)))
            first, second = sorted((find(names[a]), find(names[b])))
            root[second] = first
    return {name: find(name) for name in names}, pairs


def parts_of(families, sizes):
    """{family: part}: drawn by the checksum of the name, until a part has its share."""
    total, parts = sum(sizes.values()), dict.fromkeys(families, "train")
    order = sorted(families, key=lambda f: hashlib.sha256(f.encode()).hexdigest())
    for part, share in SHARES.items():
        have = 0
        for family in order:
            small = sizes[family] <= 0.05 * total and parts[family] == "train"
            if small and have + sizes[family] <= share * total:
                parts[family] = part
                have += sizes[family]
    return parts


def distinct(images, small, labels, parts):
    """The pictures that stay: (n,) bool; and the number of others, by reason. Rows lie by part."""
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    first = {}
    for i, d in enumerate(digests):
        first.setdefault(d, i)
    keep = np.array([first[d] == i for i, d in enumerate(digests)])
    equal = int((~keep).sum())
    for label in tqdm(range(labels.max() + 1), "copies", leave=False):
        here = np.flatnonzero((labels == label) & keep)
        close = distances(small[here], small[here]) < NEAR
        earlier = parts[here][None, :] < parts[here][:, None]
        keep[here[(close & earlier).any(1)]] = False
    return keep, {"equal pictures": equal, "near copies": int((~keep).sum()) - equal}


def nearest(small, labels, parts):
    """Nearness of the pictures of validation and test to training's, of any class: shares within a
    distance, and the number of these that are of another class."""
    train, rest = small[parts == 0], np.flatnonzero(parts > 0)
    found, whose = [], []
    for i in tqdm(range(0, len(rest), 500), "nearest", leave=False):
        d = distances(small[rest[i : i + 500]], train)
        whose.append(d.argmin(1))
        found.append(d.min(1))
    found, whose = np.concatenate(found), labels[parts == 0][np.concatenate(whose)]
    same = whose == labels[rest]
    test = parts[rest] == 2
    return {
        "within": {str(d): round(float((found < d).mean()), 4) for d in (0.03, 0.06, 0.1, 0.15)},
        "median": round(float(np.median(found)), 3),
        "nearest neighbour right (test)": round(float(same[test].mean()), 4),
    }


def first_word(name):
    """The first guess at a family: "fa6-solid" -> "fa"; Unicons' four sets have words of theirs."""
    word = name.split("-")[0].rstrip("0123456789")
    return "uil" if word in ("uim", "uis", "uit") else word


# -- the list --------------------------------------------------------------------------------------
def gather(about, trademarks):
    """Every candidate picture: images, labels, set numbers, places in the set; and class names."""
    names, prefixes = {}, {}
    for name in about:
        names[name] = icon_cache.read_set(name, about).split("\n")
        prefixes[name] = about[name].get("prefixes", ())
    labels, titles = classes(names, prefixes, trademarks)
    rows, images = [], []
    for i, name in enumerate(tqdm(about, "sets", leave=False)):
        blank = set(about[name]["blank"])
        places = [j for j, c in enumerate(labels[name]) if c is not None and j not in blank]
        images.append(np.empty((len(places), 32, 32), np.uint8))
        icon_cache.read_set(name, about, np.array(places, int), images[-1])
        rows.append([(i, j, labels[name][j]) for j in places])
    rows = np.array([row for some in rows for row in some])
    crc = {name: zlib.crc32("\n".join(some).encode()) for name, some in names.items()}
    return np.concatenate(images), *rows.T, titles, crc


def main():
    about = icon_cache.about()
    text = (icon_cache.cache() / "sets.json").read_text(encoding="utf-8")
    trademarks = json.loads(text)["trademarks"]
    images, sets, places, labels, titles, crc = gather(about, trademarks)
    print(f"{len(titles)} classes drawn in {SETS} sets or more, {len(images):,} pictures")
    small, set_names = reduced(images), list(about)
    first_words = sorted({first_word(name) for name in set_names})
    family = np.array([first_words.index(first_word(set_names[s])) for s in sets])
    root, pairs = joined(first_words, *shared(small, labels, family))
    for a, b, share in pairs:
        print(f"  joined: {share:.0%} of {a} in {b}")
    family_of = {name: root[first_word(name)] for name in set_names}
    sizes = collections.Counter(family_of[set_names[s]] for s in sets)
    parts = parts_of(sorted(sizes), sizes)
    part = np.array([icons.PARTS.index(parts[family_of[set_names[s]]]) for s in sets])

    order = np.argsort(part, kind="stable")
    images, small, sets, places, labels, part = (
        a[order] for a in (images, small, sets, places, labels, part)
    )
    keep, removed = distinct(images, small, labels, part)
    images, small, sets, places, labels, part = (
        a[keep] for a in (images, small, sets, places, labels, part)
    )
    near = nearest(small, labels, part)
    rng = np.random.default_rng(0)  # what ships: some of each of the commonest classes
    ships = np.flatnonzero(labels < SHIPS)
    ships = np.sort(rng.permutation(ships)[:SIZE])
    counts = np.bincount(part, minlength=3).tolist()
    numbers = {"pictures": dict(zip(icons.PARTS, counts)), "left out": removed, "near": near}
    print(json.dumps(numbers, indent=1), f"families: {len(sizes)}", sep="\n")
    table = {
        "package": "@iconify/json@2.2.535", "numbers": numbers, "classes": titles,
        "families": {f: parts[f] for f in sorted(sizes)}, "family of": family_of, "joined": pairs,
        "sets": {}, "members": {}, "shipped": SHIPS, "rows": np.diff(ships, prepend=0).tolist(),
    }  # fmt: skip
    for i, name in enumerate(set_names):
        here = sets == i
        if here.any():
            table["sets"][name] = {
                "family": family_of[name], "title": about[name]["title"],
                "author": about[name]["author"], "licence": about[name]["licence"],
                "url": about[name]["url"], "crc32": crc[name],
            }  # fmt: skip
            table["members"][name] = {
                "gaps": np.diff(places[here], prepend=0).tolist(), "labels": labels[here].tolist()
            }  # fmt: skip
    save_gz("iconnet.json.gz", json.dumps(table, ensure_ascii=False, separators=(",", ":")))
    save_npz("icons.npz", images=images[ships])


if __name__ == "__main__":
    main()
