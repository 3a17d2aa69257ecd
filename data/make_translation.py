"""translations.tsv.gz: emoji names in English, Spanish, German and French, with skin tones.

The names are Unicode CLDR's (its annotations), the list and the groups emojibase's. The English
name is taken apart into a head and its modifiers, so that *combinations* can be held out: "woman
astronaut: dark skin tone" has person "woman", tone "dark" and head "astronaut".
"""

import json
import re
import tempfile

from packages import from_npm, save_gz

LANGUAGES = ("en", "es", "de", "fr")
PERSON = re.compile(r"(man|woman|person|men|women|people)(?:: | (?!and )|$)(.*)")
COLOUR = re.compile(r"\b(red|orange|yellow|green|blue|purple|brown|black|white|grey|pink)\b ")
HOUR = re.compile(r"(\w+)[ -](o’clock|thirty)")


def cldr_names(annotations, derived, language):
    """emoji without FE0F -> its name in one language."""
    names = {}
    for package, key in ((annotations, "annotations"), (derived, "annotationsDerived")):
        text = (package / key / language / "annotations.json").read_text(encoding="utf-8")
        for emoji, entry in json.loads(text)[key]["annotations"].items():
            if "tts" in entry:
                names[emoji.replace("\ufe0f", "")] = " ".join(entry["tts"][0].split())
    return names


def take_apart(name):
    """An English name -> (person, colour, tone, country, hour, head); a part it lacks is ""."""
    head, _, details = name.partition(": ")
    if head == "flag":
        return "", "", "", details, "", head
    details = [d for d in details.split(", ") if d]
    tones = [d.removesuffix(" skin tone") for d in details if d.endswith(" skin tone")]
    rest = [d for d in details if not d.endswith(" skin tone")]
    head = ": ".join([head, ", ".join(rest)] if rest else [head])
    tone = " and ".join(tones)
    if match := HOUR.fullmatch(head):
        return "", "", "", "", *match.groups()
    if match := PERSON.fullmatch(head):
        return match[1], "", tone, "", "", match[2]
    colours = COLOUR.findall(head)
    if len(colours) == 1:
        return "", colours[0], tone, "", "", COLOUR.sub("", head)
    return "", "", tone, "", "", head


with tempfile.TemporaryDirectory() as folder:
    base = from_npm("emojibase-data@17.0.0", folder)
    table = json.loads((base / "en/data.json").read_text(encoding="utf-8"))
    messages = json.loads((base / "en/messages.json").read_text(encoding="utf-8"))
    annotations = from_npm("cldr-annotations-full@48.2.0", folder)
    derived = from_npm("cldr-annotations-derived-full@48.2.0", folder)
    names = [cldr_names(annotations, derived, language) for language in LANGUAGES]

group_names = {g["order"]: g["key"] for g in messages["groups"]}
concepts = sorted((e for e in table if e.get("group") not in (None, 2)), key=lambda e: e["order"])
rows = []
for concept in concepts:
    for emoji in (e["emoji"] for e in [concept, *concept.get("skins", [])]):
        words = [language[emoji.replace("\ufe0f", "")] for language in names]
        rows.append([emoji, *words, group_names[concept["group"]], *take_apart(words[0])])

colours = {}  # "heart" -> the colours it comes in: a colour is a modifier if there are two or more
for row in rows:
    colours.setdefault(row[-1], set()).add(row[7])
for row in rows:
    if row[7] and len(colours[row[-1]] - {""}) < 2:
        row[7], row[-1] = "", row[1].partition(": ")[0]

columns = ["emoji", *LANGUAGES, "group", "person", "colour", "tone", "country", "hour", "head"]
save_gz("translations.tsv.gz", "".join("\t".join(row) + "\n" for row in [columns, *rows]))
