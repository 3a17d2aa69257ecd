"""minivit complete and minivit embed, run as a student runs them, on small random models."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minivit
from minivit import commands
from minivit.commands import complete, embed, shared
from minivit.models.clip import CLIP, TextTransformer, VisionTransformer
from minivit.published import Pretrained, sentences
from minivit.text import CLIPTokenizer
from minivit.training.data import photo
from tests.published import test_vision as vision
from tests.published.test_text import PIECES, case, palette_of

Image = pytest.importorskip("PIL.Image")


def run(*arguments, folder, given=None):
    """(exit status, standard output, standard error) of `minivit ...` in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "minivit.commands", *map(str, arguments)],
        cwd=folder, input=given, capture_output=True, text=True, timeout=120, encoding="utf-8",
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a photo that is not square, and checkpoints of three families."""
    folder = tmp_path_factory.mktemp("student")
    pixels = np.rint((photo("coffee")[:, :150] + 1) * 127.5).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "coffee.png")
    palette_of(case("image_gpt").write(folder / "igpt"))
    PIECES.save(case("bert").write(folder / "bert") / "vocab.txt")
    vision.case("vit_hf").write(folder / "vit")
    vision.case("clip_hf").write(folder / "clip")
    (folder / "broken.png").write_bytes((folder / "coffee.png").read_bytes()[:900])
    (folder / "empty").mkdir()
    return folder


# -- complete --------------------------------------------------------------------------------------
def test_complete_draws_the_rest_of_a_photo(here):
    status, text, _ = run(
        "complete", "coffee.png", "--model", "igpt", "--keep", "0.5", "--samples", "2",
        "--out", "done.png", folder=here,
    )  # fmt: skip
    assert status == 0 and "done.png" in text and "4 x 4 pixels, the 2 rows" in text
    page = np.asarray(Image.open(here / "done.png"))
    assert page.shape == (256, 4 * 256 + 3 * 8, 3)
    original, kept, *drawn = (page[:, i * 264 : i * 264 + 256] for i in range(4))
    for square in (kept, *drawn):  # the upper half is what was given
        np.testing.assert_array_equal(square[:128], original[:128])
    assert (kept[128:] == 128).all()
    assert not np.array_equal(drawn[0], drawn[1])
    pixels = minivit.load(here / "igpt").preprocess
    middle = np.asarray(Image.open(here / "coffee.png"))[37:187]  # the middle of 224 x 150
    expected = pixels.pictures(pixels(middle))[0]
    np.testing.assert_array_equal(original[::64, ::64], expected)


def test_a_seed_draws_the_same_again_and_json_is_for_programs(here):
    def draw(seed):
        status, text, _ = run(
            "complete", "coffee.png", "--model", "igpt", "--json", "--samples", 2, "--seed", seed,
            "--top-k", 3, "--temperature", 0.7, "--keep", 0.25, folder=here,
        )  # fmt: skip
        assert status == 0
        facts = json.loads(text)
        return facts, (here / facts["out"]).read_bytes()

    (facts, page), (again, same), (_, other) = draw(5), draw(5), draw(6)
    assert facts == again and page == same and page != other
    assert facts["out"] == "coffee-completed.png" and facts["rows kept"] == 1
    bits = [facts["bits a pixel"]["original"], *facts["bits a pixel"]["drawn"]]
    assert len(bits) == 3 and all(b > 0 for b in bits)


def test_complete_works_without_a_network_with_the_model_of_lecture_4(here):
    status, text, _ = run("complete", "coffee.png", "--samples", 1, folder=here)
    assert status == 0 and "16 x 16 pixels, the 8 rows" in text


def test_bits_are_the_models(here):
    found = minivit.load(here / "igpt")
    ids = np.random.default_rng(0).integers(0, 32, (3, 16))
    bits = complete.bits_a_pixel(found.model, ids, 0)
    assert np.mean(bits) == pytest.approx(float(found.model.loss(ids).numpy()) / np.log(2))


@pytest.mark.parametrize("arguments, says", [
    (["missing.png"], "missing.png: cannot be read"),
    (["broken.png"], "damaged or cut off"),
    (["coffee.png", "--model", "bert"], "a model of the family bert; this needs image_gpt"),
    (["coffee.png", "--model", "empty"], "model.safetensors"),
    (["coffee.png", "--model", "nowhere"], "no file or folder here"),
    (["coffee.png", "--out", "x.txt"], "ends in .png"),
    (["coffee.png", "--out", "nowhere/x.png"], "in a folder that is there"),
    (["coffee.png", "--keep", "1"], "from 0 to below 1"),
    (["coffee.png", "--keep", "half"], "not a number"),
    (["coffee.png", "--samples", "0"], "not an integer from 1"),
    (["coffee.png", "--temperature", "nan"], "not a number"),
    (["coffee.png", "--seed", "1.5"], "not an integer"),
])  # fmt: skip
def test_complete_says_what_it_cannot_do(arguments, says, here):
    before = sorted(here.iterdir())
    status, text, errors = run("complete", *arguments, folder=here)
    assert status == 2 and not text and says in errors
    assert sorted(here.iterdir()) == before


def test_complete_needs_the_palette(here, tmp_path):
    case("image_gpt").write(tmp_path / "bare")
    status, _, errors = run(
        "complete", here / "coffee.png", "--model", "bare", folder=tmp_path
    )  # fmt: skip
    assert status == 2 and "no preprocessor_config.json" in errors


# -- embed -----------------------------------------------------------------------------------------
def test_embed_sentences(here):
    texts = ["a b c", "abc", "c c b"]
    status, text, _ = run("embed", *texts, "--model", "bert", "--json", folder=here)
    facts = json.loads(text)
    assert status == 0 and facts["dimensions"] == 16 and facts["inputs"] == texts
    expected = sentences.embed(minivit.load(here / "bert"), texts)
    np.testing.assert_allclose(facts["embeddings"], expected, rtol=0, atol=1e-6)
    status, text, _ = run("embed", *texts, "--model", "bert", folder=here)
    assert status == 0 and text.startswith("3 vectors of 16 numbers\ncosine similarity:")
    status, text, _ = run(
        "embed", "-", "--model", "bert", "--out", "v.npy", folder=here, given="a b c\n\nabc\nc c b"
    )
    assert status == 0 and "in v.npy" in text
    np.testing.assert_allclose(np.load(here / "v.npy"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", ["vit", "clip"])
def test_embed_photos(family, here):
    status, text, _ = run(
        "embed", "coffee.png", "coffee.png", "--photos", "--model", family, "--json", folder=here
    )
    assert status == 0
    rows = np.array(json.loads(text)["embeddings"])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=0, atol=1e-6)
    found = minivit.load(here / family)
    encode = found.model.features if family == "vit" else found.model.encode_image
    expected = encode(found.preprocess(here / "coffee.png")).numpy()[0]
    np.testing.assert_allclose(rows[1], expected / np.linalg.norm(expected), rtol=0, atol=1e-6)


def test_embed_sentences_with_a_clip():
    tokenizer = CLIPTokenizer.train(["a photo of a cat"], 520)
    image = VisionTransformer(32, 8, 3, 16, 1, 2)
    text = TextTransformer(len(tokenizer), 77, 16, 1, 2)
    found = Pretrained(CLIP(image, text, 16, 16, 8), "clip", "ours", {}, tokenizer)
    rows = embed.texts(found, ["a cat", "a photo"])
    assert rows.shape == (2, 8)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("arguments, given, says", [
    (["-", "--model", "bert"], "\n", "only empty lines came from standard input"),
    (["-", "--model", "bert"], "", "nothing came from standard input"),
    (["a", "--model", "vit"], None, "a model of the family vit; this needs bert or clip"),
    (["a.png", "--photos", "--model", "vit"], None, "a.png: cannot be read"),
    (["a", "--photos", "--model", "bert"], None, "this needs clip or vit"),
    (["a", "--model", "clip"], None, "no vocabulary"),
    (["a", "--model", "bert", "--out", "v.txt"], None, "ends in .npy"),
    ([], None, "required: inputs"),
])  # fmt: skip
def test_embed_says_what_it_cannot_do(arguments, given, says, here):
    status, text, errors = run("embed", *arguments, folder=here, given=given)
    assert status == 2 and not text and says in errors


def test_a_reader_that_has_seen_enough_is_no_error(here):
    command = [sys.executable, "-m", "minivit.commands", "embed", "-", "--model", "bert"]
    with subprocess.Popen(
        [*command, "--json"], cwd=here, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdin.write("a b c\n" * 2000)  # far more than a pipe holds
        process.stdin.close()
        assert process.stdout.readline() == "{\n"
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0 and "Error" not in errors


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.npy"
    path.write_text("the old one")

    def fails(file, ending):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared.write(path, fails)
    assert path.read_text() == "the old one" and list(tmp_path.iterdir()) == [Path(path)]


def test_a_folder_of_photos_is_embedded_in_batches(here, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(here)
    (tmp_path / "photos").mkdir()
    for i in range(21):
        pixels = np.random.default_rng(i).integers(0, 255, (9, 7, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i:02}.png")
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    found, sizes = minivit.load("clip"), []
    encode = type(found.model).encode_image
    monkeypatch.setattr(
        type(found.model), "encode_image", lambda self, I: sizes.append(len(I)) or encode(self, I)
    )
    arguments = ["embed", "--model", "clip", "--photos", "--json"]
    assert commands.main([*arguments, str(tmp_path / "photos")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert sizes == [16, 5] and len(facts["inputs"]) == 21
    one = [str(tmp_path / "photos" / "20.png")]
    assert commands.main([*arguments, *one]) == 0
    alone = json.loads(capsys.readouterr().out)["embeddings"][0]
    np.testing.assert_allclose(facts["embeddings"][20], alone, atol=1e-5)
    (tmp_path / "empty").mkdir()
    assert commands.main([*arguments, str(tmp_path / "empty")]) == 2
    assert "there is no photo in this folder" in capsys.readouterr().err


def test_a_photo_that_cannot_be_read_does_not_end_the_folder(here, tmp_path, monkeypatch, capsys):
    """One that is named does. A wide picture that cannot be resized is named, too."""
    monkeypatch.chdir(here)
    shutil.copy("coffee.png", tmp_path / "b.png")
    Image.new("1", (60_000, 1)).save(tmp_path / "a.png")
    (tmp_path / "c.png").write_bytes(b"no picture")
    arguments = ["embed", "--model", "clip", "--photos"]
    assert commands.main([*arguments, "--json", str(tmp_path)]) == 0
    facts = json.loads(capsys.readouterr().out)
    names = [str(tmp_path / f"{x}.png") for x in "abc"]
    assert facts["inputs"] == names[1:2] and len(facts["embeddings"]) == 1
    assert list(facts["unread"]) == [names[0], names[2]]
    assert all(facts["unread"][name].startswith(f"{name}: ") for name in facts["unread"])
    assert commands.main([*arguments, names[1], names[1]]) == 0
    assert "2 vectors" in capsys.readouterr().out
    assert commands.main([*arguments, names[1], names[0]]) == 2
    assert f"{names[0]}: a picture of 60000 x 1 pixels" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [
    ["classify", "x.png", "--labels", "a\udcff"], ["classify", "x.png", "--template", "\ud800{}"],
    ["embed", "\udc80"], ["search", "\udc80", "."], ["fill", "[MASK] \udcff"],
])  # fmt: skip
def test_what_is_no_text_is_refused(arguments, capsys):
    """A shell hands on any bytes; those that are no UTF-8 come as half characters."""
    with pytest.raises(SystemExit) as end:
        commands.main(arguments)
    assert end.value.code == 2 and "is not UTF-8 text" in capsys.readouterr().err


def test_standard_input_stands_alone(capsys):
    assert commands.main(["embed", "a", "-", "--model", "emoji"]) == 2
    assert "stands alone" in capsys.readouterr().err


def test_standard_input_that_is_no_text_is_refused(here):
    command = [sys.executable, "-m", "minivit.commands", "embed", "-", "--model", "bert"]
    done = subprocess.run(command, input=b"\xff\xfe", cwd=here, capture_output=True, timeout=120)
    assert done.returncode == 2 and b"not UTF-8" in done.stderr and b"Traceback" not in done.stderr


def test_complete_takes_a_picture_from_a_pipe(here, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "minivit.commands", "complete", "-", "--model", here / "igpt",
         "--samples", "1"],
        input=(here / "coffee.png").read_bytes(), cwd=tmp_path, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0 and (tmp_path / "completed.png").is_file()


# -- fill, and what all commands share -------------------------------------------------------------
def test_fill_takes_a_text_from_a_pipe(here):
    asked = ["--model", "bert", "--json", "--top", "3"]
    _, text, _ = run("fill", "a [MASK] c", *asked, folder=here)
    _, piped, _ = run("fill", "-", *asked, folder=here, given="a [MASK]\nc\n")
    assert json.loads(piped) == json.loads(text) and len(json.loads(text)["masks"][0]) == 3


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as end:
        commands.main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"minivit {minivit.__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(closed, here):
    line = f"'{sys.executable}' -m minivit.commands info bert {closed}"
    done = subprocess.run(line, shell=True, cwd=here, capture_output=True, timeout=120)
    assert done.returncode == 0 and not done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_a_folder_that_may_not_be_written_is_told_before_the_work(here, tmp_path, monkeypatch):
    monkeypatch.setattr(shared.os, "access", lambda path, mode: False)  # as root, all may be
    with pytest.raises(minivit.errors.DataError, match=r"cannot be written .Permission denied"):
        shared.check_out(tmp_path / "x.png", ".png")


@pytest.mark.parametrize("source, says", [
    ("", "the name of the picture is empty"), (b"", "0 bytes: .*it is empty"),
    (b"GIF9 no gif", "it starts with b'GIF9 no '"),
])  # fmt: skip
def test_a_picture_that_is_none_is_told_without_addresses(source, says):
    from minivit.images import pictures

    with pytest.raises(minivit.errors.DataError, match=says) as error:
        pictures.picture(source)
    assert "0x" not in str(error.value)
