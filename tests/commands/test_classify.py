"""minivit classify, run as a student runs it, on small random models and the one that ships."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minivit
from minivit import Tensor, commands
from minivit.models.clip import zero_shot_weights
from minivit.text import CLIPTokenizer
from minivit.training import data
from tests.published.test_vision import case

Image = pytest.importorskip("PIL.Image")
LABELS = ("a dog", "a cat", "two cups of coffee")


def run(*arguments, folder):
    """(exit status, standard output, standard error) of `minivit classify ...` in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "minivit.commands", "classify", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, timeout=120, encoding="utf-8",
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def clip_with_a_vocabulary(folder, seed=0):
    """A CLIP of random weights in Hugging Face's names, with vocab.json and merges.txt."""
    tokenizer = CLIPTokenizer.train([f"a photo of {label}." for label in LABELS], 540)
    found = case("clip_hf")
    rng, V = np.random.default_rng(seed), len(tokenizer)
    weights = {
        "text_model.embeddings.token_embedding.weight": (V, 8),
        "text_model.embeddings.position_embedding.weight": (40, 8),
    }
    found.weights |= {k: rng.standard_normal(s).astype(np.float32) for k, s in weights.items()}
    found.config["text_config"] |= {"eos_token_id": V - 1}
    tokenizer.save(found.write(folder))
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with photos, and checkpoints of ViTs and CLIPs."""
    folder = tmp_path_factory.mktemp("student")
    photos = Path(__file__).parents[2] / "data" / "photos"
    Image.open(photos / "coffee.png").crop((0, 0, 150, 224)).save(folder / "coffee.png")
    (folder / "broken.png").write_bytes((photos / "coffee.png").read_bytes()[:900])
    (folder / "notes.txt").write_text("not a picture")
    clip_with_a_vocabulary(folder / "clip")
    case("clip_openai").write(folder / "mute")
    vit = case("vit_hf")
    vit.config["id2label"] = {i: name for i, name in enumerate(["ant", "bee", "cow", "dog", "elk"])}
    vit.write(folder / "vit")
    case("vit_google").write(folder / "google")
    case("vit_hf_pooler").write(folder / "headless")
    (folder / "empty").mkdir()
    (folder / "photos").mkdir()
    for i in range(18):
        values = np.random.default_rng(i).integers(0, 255, (9, 7, 3), np.uint8)
        Image.fromarray(values).save(folder / "photos" / f"{i:02}.png")
    return folder


def test_zero_shot_by_a_clip(here):
    status, text, _ = run("coffee.png", "--model", "clip", "--labels", *LABELS, folder=here)
    assert status == 0 and text.startswith("coffee.png, by clip:\n")
    assert all(label in text for label in LABELS) and text.count("%") == 3
    status, text, _ = run(
        "coffee.png", "--model", "clip", "--json", "--labels", *LABELS, folder=here
    )
    facts = json.loads(text)
    assert status == 0 and (facts["photo"], facts["model"]) == ("coffee.png", "clip")
    found = {r["label"]: r["probability"] for r in facts["results"]}
    assert list(found.values()) == sorted(found.values(), reverse=True)
    clip = minivit.load(here / "clip")
    prompts = clip.tokenizer([f"a photo of {label}." for label in LABELS])
    logits = clip.model(Tensor(clip.preprocess(here / "coffee.png")), prompts).numpy()[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert [found[label] for label in LABELS] == pytest.approx(expected, rel=1e-4)


def test_templates_are_averaged(here):
    templates = ("{}", "it's {}!")
    asked = [word for template in templates for word in ("--template", template)]
    _, text, _ = run(
        "coffee.png", "--model", "clip", "--json", *asked, "--labels", *LABELS, "--top", 2,
        folder=here,
    )  # fmt: skip
    results = json.loads(text)["results"]
    clip = minivit.load(here / "clip")
    W = zero_shot_weights(clip.model, clip.tokenizer, LABELS, templates).numpy()
    I_e = clip.model.encode_image(Tensor(clip.preprocess(here / "coffee.png"))).numpy()
    logits = (I_e @ W * np.exp(clip.model.t.numpy()))[0]
    best = np.argsort(-logits)[:2]
    assert [r["label"] for r in results] == [LABELS[i] for i in best]
    p = np.exp(logits) / np.exp(logits).sum()
    assert [r["probability"] for r in results] == pytest.approx(p[best], rel=1e-4)


@pytest.mark.parametrize("model, names", [
    ("vit", ["ant", "bee", "cow", "dog", "elk"]), ("google", [f"class {i}" for i in range(5)]),
])  # fmt: skip
def test_the_classes_of_a_vit(model, names, here):
    _, text, _ = run("coffee.png", "--model", model, "--top", 3, "--json", folder=here)
    results = json.loads(text)["results"]
    vit = minivit.load(here / model / ("vit.npz" if model == "google" else ""))
    logits = vit.model(Tensor(vit.preprocess(here / "coffee.png"))).numpy()[0]
    p, best = np.exp(logits) / np.exp(logits).sum(), np.argsort(-logits)[:3]
    assert [r["label"] for r in results] == [names[i] for i in best]
    assert [r["probability"] for r in results] == pytest.approx(p[best], rel=1e-4)


def test_a_picture_with_bars(here):
    pytest.importorskip("matplotlib")
    status, text, _ = run("coffee.png", "--model", "vit", "--out", "bars.png", folder=here)
    assert status == 0 and "drawn in bars.png" in text
    assert np.asarray(Image.open(here / "bars.png")).std() > 20
    (here / "bars.png").unlink()


def test_the_small_clip_needs_no_network(here):
    """A drawing in the style that it was not trained on."""
    emoji = data.emoji()
    guitar = emoji.labels.index("guitar")
    drawing = emoji.images["twemoji"][list(emoji.concepts["twemoji"]).index(guitar)]
    Image.fromarray(np.rint((drawing + 1) * 127.5).astype(np.uint8)).save(here / "guitar.png")
    status, text, _ = run(
        "guitar.png", "--model", "emoji", "--template", "{}", "--labels", "dog", "guitar",
        "airplane", folder=here,
    )  # fmt: skip
    assert status == 0 and text.splitlines()[1].split()[1] == "guitar"
    (here / "guitar.png").unlink()


WRONG = [
    (["missing.png", "--model", "vit"], "missing.png: cannot be read"),
    (["notes.txt", "--model", "vit"], "notes.txt: not an image"),
    (["broken.png", "--model", "vit"], "damaged or cut off"),
    (["empty", "--model", "vit"], "empty: there is no photo in this folder"),
    (["photos", "--model", "vit", "--out", "x.png"], "--out is for one picture"),
    (["coffee.png", "--model", "clip"], "a CLIP needs labels"),
    (["coffee.png"], "a CLIP needs labels"),  # nothing is downloaded before that is told
    (["coffee.png", "--model", "clip", "--labels", "a", "a"], "each once"),
    (["coffee.png", "--labels", "Heart", "heart"], "'Heart' and 'heart' are the same to a CLIP"),
    (["coffee.png", "--labels", "a", "heart", " heart"], "'heart' and ' heart' are the same"),
    (["coffee.png", "--labels", "a  B", "c", "a b"], "'a  B' and 'a b' are the same"),
    (["coffee.png", "--labels", "a", "&nbsp;"], "'&nbsp;' is empty"),
    (["coffee.png", "--model", "clip", "--labels", "a", " "], "' ' is empty"),
    (["coffee.png", "--model", "clip", "--labels", "a" * 99], "is too long"),
    (["coffee.png", "--model", "clip", "--labels", "a", "--template", "it"], "expected {}"),
    (["coffee.png", "--model", "vit", "--labels", "a", "b"], "a ViT has classes of its own"),
    (["coffee.png", "--model", "vit", "--top", "0"], "not an integer from 1"),
    (["coffee.png", "--model", "headless"], "the file has no head"),
    (["coffee.png", "--model", "mute", "--labels", "a", "b"], "no vocabulary beside it"),
    (["coffee.png", "--model", "empty"], "empty"),
    (["coffee.png", "--model", "nowhere"], "no file or folder here"),
    (["coffee.png", "--model", "nowhere"], "--model emoji needs no network"),
    (["coffee.png", "--model", "vit", "--out", "x.txt"], "ends in .png"),
    (["coffee.png", "--model", "vit", "--out", "nowhere/x.png"], "in a folder that is there"),
]  # fmt: skip


@pytest.mark.parametrize("arguments, says", WRONG)
def test_classify_says_what_it_cannot_do(arguments, says, here, monkeypatch, capsys):
    """In this process, which is sooner; the one below is a student's."""
    monkeypatch.chdir(here)
    before = sorted(here.iterdir())
    try:
        status = commands.main(["classify", *arguments])
    except SystemExit as argument:  # argparse's way
        status = argument.code
    text, errors = capsys.readouterr()
    assert status == 2 and not text and says in errors
    assert sorted(here.iterdir()) == before


def test_another_family_is_refused(here, tmp_path):
    from tests.published.test_text import case as text_case

    text_case("gpt2").write(tmp_path / "gpt2")
    status, _, errors = run(here / "coffee.png", "--model", "gpt2", folder=tmp_path)
    assert status == 2 and "a model of the family gpt2; this needs clip or vit" in errors


# -- from a terminal -------------------------------------------------------------------------------
def test_labels_may_stand_before_the_picture_and_it_may_come_from_a_pipe(here):
    expected = run("coffee.png", "--model", "clip", "--json", "--labels", *LABELS, folder=here)[1]
    first = run("--model", "clip", "--json", "--labels", *LABELS, "coffee.png", folder=here)[1]
    assert first == expected
    command = [sys.executable, "-m", "minivit.commands", "classify", "-", "--model", "clip"]
    piped = subprocess.run(
        [*command, "--json", "--labels", *LABELS], cwd=here, capture_output=True, timeout=120,
        input=(here / "coffee.png").read_bytes(),
    )  # fmt: skip
    assert json.loads(piped.stdout)["results"] == json.loads(expected)["results"]
    done = subprocess.run(command + ["--labels", "a"], input=b"", cwd=here, capture_output=True)
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    status, _, said = run("--model", "clip", "--labels", *LABELS, folder=here)
    assert status == 2 and "no picture is named" in said


@pytest.mark.parametrize("template", [
    "{}", "{} {x}", "{0}{}", "{}{", "}{}", "{} {0.real}", "{!r}{}", "{:>9}{}", "{{}}",
    "{} %s \\", "{}\n", "é {} 🎈", "{x}", "", "{", "{ }",
])  # fmt: skip
def test_any_template_is_taken_as_it_stands_or_refused(template, here, capsys, monkeypatch):
    monkeypatch.chdir(here)
    status = commands.main(["classify", "coffee.png", "--model", "clip", "--labels", "a dog",
                            "--template", template])  # fmt: skip
    assert status == (0 if "{}" in template else 2)
    assert "{}" in template or "expected {} where the label goes" in capsys.readouterr().err


def test_all_labels_are_encoded_at_once(here, monkeypatch):
    monkeypatch.chdir(here)
    found, calls = minivit.load("clip"), []
    encode = type(found.model).encode_text
    monkeypatch.setattr(
        type(found.model), "encode_text", lambda self, T: calls.append(len(T)) or encode(self, T)
    )
    labels = [f"a dog {i}" for i in range(30)]
    asked = ["--template", "{}", "--template", "it's {}!"]
    assert (
        commands.main(["classify", "coffee.png", "--model", "clip", *asked, "--labels", *labels])
        == 0
    )
    assert calls == [60]


OUT = [("x" * 300 + ".png", "File name too long"), ("a" * 300 + "/b.png", "expected a name"),
       ("here.png/b.png", "in a folder that is there"), ("folder.png", "that is a folder"),
       ("a\0.png", "null"), ("b.txt", "ends in .png"), ("", "ends in .png")]  # fmt: skip


@pytest.mark.parametrize("out, says", OUT)
@pytest.mark.parametrize("command", ["classify", "complete"])
def test_a_place_for_out_is_refused_before_the_work(command, out, says, here, capsys, monkeypatch):
    monkeypatch.chdir(here)
    (here / "folder.png").mkdir(exist_ok=True)
    labels = ["--labels", "a"] if command == "classify" else []
    monkeypatch.setattr(minivit.published, "load", None)  # nothing is loaded before that is told
    arguments = [command, "coffee.png", "--model", "clip", f"--out={out}", *labels]
    said = commands.main(arguments), capsys.readouterr().err
    assert said[0] == 2 and (says in said[1] or "File name too long" in said[1]), said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [
    ["info", "clip"], ["info", "nowhere"],
    ["classify", "coffee.png", "--model", "clip", "--labels", "a"],
])  # fmt: skip
def test_a_full_disk_is_told_in_a_line(arguments, here):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "minivit.commands", *arguments], cwd=here, stdout=full,
            stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "nowhere" in arguments or "No space left" in done.stderr


def test_letters_that_the_terminal_lacks_are_spelled(here):
    import os

    done = subprocess.run(
        [sys.executable, "-m", "minivit.commands", "classify", "coffee.png", "--model", "clip",
         "--labels", "é", "🎈"],
        cwd=here, capture_output=True, timeout=120, env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0 and b"\\xe9" in done.stdout


@pytest.mark.parametrize("model, labels", [("vit", []), ("clip", ["--labels", *LABELS])])
def test_a_folder_is_classified_in_batches(model, labels, here, monkeypatch, capsys):
    """Each photo as it would be alone."""
    monkeypatch.chdir(here)
    sizes, kind = [], type(minivit.load(model).model)
    way = "forward" if model == "vit" else "encode_image"
    encode = getattr(kind, way)
    monkeypatch.setattr(kind, way, lambda self, x: sizes.append(len(x)) or encode(self, x))
    asked = ["classify", "--model", model, "--json", "--top", "2", *labels]
    assert commands.main([*asked[:1], "photos", *asked[1:]]) == 0
    photos = json.loads(capsys.readouterr().out)["photos"]
    assert sizes == [16, 2] and [p["photo"][-6:] for p in photos] == [
        f"{i:02}.png" for i in range(18)
    ]
    assert commands.main([*asked[:1], "photos/17.png", *asked[1:]]) == 0
    alone = json.loads(capsys.readouterr().out)["results"]
    assert [r["label"] for r in alone] == [r["label"] for r in photos[17]["results"]]
    for one, other in zip(alone, photos[17]["results"]):
        assert one["probability"] == pytest.approx(other["probability"], rel=1e-4)
    assert commands.main([*asked[:1], "photos/", *(a for a in asked[1:] if a != "--json")]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"18 photos of photos/, by {model}:") and out.count("%") == 36


def test_a_photo_that_cannot_be_read_does_not_end_the_folder(here, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(here)
    (tmp_path / "a.png").write_bytes(b"no picture")
    arguments = ["classify", str(tmp_path), "--model", "vit"]
    assert commands.main(arguments) == 2 and "a.png: not an image" in capsys.readouterr().err
    (tmp_path / "b.png").write_bytes((here / "coffee.png").read_bytes())
    assert commands.main(arguments) == 0
    out = capsys.readouterr().out
    assert "\nb.png: " in out
    assert f"could not be read: {tmp_path / 'a.png'}: not an image" in out
