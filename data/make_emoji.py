"""emoji.json.gz and emoji-STYLE.png: emoji in five drawing styles, 32x32, with names and keywords.

Concepts, names, keywords and groups are emojibase's; drawings are matched to them by code point
without the variation selector FE0F, and where a set has only names, by name. A drawing is rendered
at 128x128, put on white, averaged down to 32x32, and stored with the 256 colours that k-means finds
for its style. An atlas holds 48 drawings a row, in the order of `styles` in emoji.json.gz.
"""

import io
import json
import re
import tempfile
import unicodedata

import numpy as np
import resvg_py
from packages import HERE, from_npm, report, save_gz
from PIL import Image

from minivit import files

SIDE, COLUMNS, COLOURS = 32, 48, 256
SETS = {  # style -> npm package
    "noto": "emoji-datasource-google@16.0.0",
    "twemoji": "@iconify-json/twemoji@1.2.5",
    "fluent": "@iconify-json/fluent-emoji-flat@1.2.6",
    "emojitwo": "@iconify-json/emojione@1.2.3",
    "noto-blob": "@iconify-json/noto-v1@1.2.5",
}
WRONG = {  # drawings that a name finds, and that show something else
    "emojitwo": ["clamp", "cricket", "UP! button"],
    "noto-blob": ["cricket", "UP! button"],
}


def concepts(package):
    """emojibase's English emoji, without the components (skin tones, hair) and regional letters."""
    table = json.loads((package / "en/data.json").read_text(encoding="utf-8"))
    return sorted((e for e in table if e.get("group") not in (None, 2)), key=lambda e: e["order"])


def code(concept):
    return concept["hexcode"].lower().replace("-fe0f", "")


def names(label):
    """A file name for a drawing of `label`: "flag: Côte d’Ivoire" -> "flag-for-cote-divoire"."""
    text = unicodedata.normalize("NFKD", label.replace("&", "and")).encode("ascii", "ignore")
    text = re.sub(r"['.]", "", re.sub(r" \(.*\)", "", text.decode().lower()))
    slug = re.sub(r"[^a-z0-9#*]+", "-", text).strip("-")
    country = slug.removeprefix("flag-")
    if country == slug:
        return [slug]
    return [f"flag-for-flag-{country}", f"flag-for-{country}", slug]


def on_white(png):
    """The picture in bytes `png`, put on white and averaged down to (32, 32, 3) bytes."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")) / 255.0
    alpha = pixels[..., 3:]
    flat = pixels[..., :3] * alpha + 1 - alpha
    k = len(flat) // SIDE
    return np.rint(255 * flat.reshape(SIDE, k, SIDE, k, 3).mean((1, 3))).astype(np.uint8)


def drawings(package, style, wanted):
    """concept index -> (32, 32, 3) bytes."""
    pngs = {p.stem.replace("-fe0f", ""): p for p in package.glob("img/google/64/*.png")}
    if pngs:
        codes = enumerate(map(code, wanted))
        return {i: on_white(pngs[c].read_bytes()) for i, c in codes if c in pngs}
    icons, by_code = (
        json.loads((package / name).read_text(encoding="utf-8"))
        for name in ("icons.json", "chars.json")
    )
    known = icons["icons"] | icons.get("aliases", {})
    images = {}
    for i, concept in enumerate(wanted):
        candidates = [by_code.get(code(concept))] if by_code else names(concept["label"])
        name = next((n for n in candidates if n in known), None)
        if name and concept["label"] not in WRONG.get(style, ()):
            images[i] = on_white(render(icons, name))
    return images


def render(icons, name):
    """An icon of an Iconify set as a PNG file of 128x128 pixels."""
    alias = icons.get("aliases", {}).get(name, {})
    icon = icons["icons"][alias.get("parent", name)]
    w, h = (icon.get(key, icons[key]) for key in ("width", "height"))
    body = icon["body"]
    if alias.get("hFlip"):
        body = f'<g transform="translate({w} 0) scale(-1 1)">{body}</g>'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{4 * SIDE}" height="{4 * SIDE}" '
        f'viewBox="0 0 {w} {h}">{body}</svg>'
    )
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True))


def palette(images, rounds=40):
    """256 colours by k-means over all pixels, white among them; and which of them each pixel is."""
    colours, where, counts = np.unique(
        images.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    points, weights = colours.astype(np.float32), np.minimum(counts, 2000).astype(np.float64)
    rng = np.random.default_rng(0)
    centres = np.full((1, 3), 255, np.float32)  # white stays exact
    distance = ((points - centres[0]) ** 2).sum(1)
    while len(centres) < COLOURS:  # k-means++: far from what is there already
        odds = weights * distance
        centres = np.vstack([centres, points[rng.choice(len(points), p=odds / odds.sum())]])
        distance = np.minimum(distance, ((points - centres[-1]) ** 2).sum(1))
    for _ in range(rounds):
        nearest = assign(points, centres)
        mass = np.bincount(nearest, weights, COLOURS)
        for axis in range(3):
            total = np.bincount(nearest, weights * points[:, axis], COLOURS)
            centres[1:, axis] = (total / np.maximum(mass, 1e-9))[1:]
    centres = np.rint(centres).astype(np.uint8)
    return centres, assign(points, centres.astype(np.float32))[where.ravel()].astype(np.uint8)


def assign(points, centres):
    chunks = np.array_split(points, len(points) // 20_000 + 1)
    size = (centres**2).sum(1)
    return np.concatenate([(size - 2 * chunk @ centres.T).argmin(1) for chunk in chunks])


def lookalikes(wanted, drawn):
    """Concepts that are hardly told apart from another one at 32x32: by what they are, or because
    the styles draw them all but equal (RMS difference below 0.05 on average) to a concept with a
    shorter name, as Clipperton Island's flag to France's."""
    emoji = [c["emoji"] for c in wanted]
    total, styles = np.zeros((2, len(emoji), len(emoji)))
    for images in drawn.values():
        pixels = np.stack(list(images.values())).reshape(len(images), -1) / 255.0
        square = (pixels**2).sum(1)
        both = np.ix_(list(images), list(images))
        gap = (square[:, None] + square - 2 * pixels @ pixels.T) / pixels.shape[1]
        total[both] += np.sqrt(np.maximum(gap, 0))
        styles[both] += 1
    length = np.array([len(c["label"]) for c in wanted]) + np.arange(len(wanted)) / len(wanted)
    equal = ((total < 0.05 * styles) & (length[:, None] > length)).any(1)
    return [i for i, e in enumerate(emoji) if equal[i] or near(e, emoji)]


def near(emoji, everything):
    """A clock face, a family or couple, the man or the woman of what exists as a person too."""
    man, woman, person, boy, girl, child = "👨👩🧑👦👧🧒"
    if "🕐" <= emoji[0] <= "🕧":
        return True
    first, *others = (part.rstrip("\ufe0f") for part in emoji.split("\u200d"))  # zero-width joiner
    if "♀" in others or "♂" in others or child in others:
        return True
    if not others or first not in (man, woman):
        return False
    return bool({man, woman, boy, girl} & set(others)) or person + emoji[1:] in everything


def save_atlas(style, images):
    colours, indices = palette(images)
    rows = -(-len(images) // COLUMNS)
    tiles = np.zeros((rows * COLUMNS, SIDE, SIDE), np.uint8)  # colour 0 is white
    tiles[: len(images)] = indices.reshape(-1, SIDE, SIDE)
    atlas = tiles.reshape(rows, COLUMNS, SIDE, SIDE).swapaxes(1, 2)
    picture = Image.fromarray(atlas.reshape(rows * SIDE, COLUMNS * SIDE), mode="P")
    picture.putpalette(colours.tobytes())
    with files.writing_whole(HERE / f"emoji-{style}.png") as half:
        picture.save(half, "PNG", optimize=True)
    drawn = (images != 255).any(-1)
    error = (images - colours[indices].reshape(images.shape).astype(float))[drawn]
    print(f"{style}: {len(images)} drawings, {10 * np.log10(255**2 / (error**2).mean()):.1f} dB")
    report(f"emoji-{style}.png")


def main():
    with tempfile.TemporaryDirectory() as folder:
        base = from_npm("emojibase-data@17.0.0", folder)
        wanted = concepts(base)
        messages = json.loads((base / "en/messages.json").read_text(encoding="utf-8"))
        drawn = {}
        for style, requirement in SETS.items():
            drawn[style] = drawings(from_npm(requirement, folder), style, wanted)
            save_atlas(style, np.stack(list(drawn[style].values())))

    table = {
        "characters": [c["emoji"] for c in wanted],
        "labels": [c["label"].lower() for c in wanted],
        "tags": [c.get("tags", []) for c in wanted],
        "lookalikes": lookalikes(wanted, drawn),
        "styles": {style: list(images) for style, images in drawn.items()},
    }
    for kind in ("group", "subgroup"):
        keys = sorted({c[kind] for c in wanted})
        title = {m["order"]: m["key"] for m in messages[kind + "s"]}
        table[kind + "_names"] = [title[k] for k in keys]
        table[kind + "s"] = [keys.index(c[kind]) for c in wanted]
    save_gz("emoji.json.gz", json.dumps(table, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
