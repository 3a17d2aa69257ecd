"""Our own format: what `save` writes, `load` reads, bit for bit; what does not fit is told."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit
from minivit import Tensor, nn, optim
from minivit.engine.errors import CheckpointError, DtypeError, MinivitError, OptionError, StateError
from minivit.models.gpt import GPT
from minivit.models.vit import ViT
from minivit.published import export, own, sentences
from minivit.published.preprocess import Preprocess
from minivit.text import BPE, CLIPTokenizer, WordPiece
from minivit.training import data
from minivit.training.trainer import Trainer
from tests.models.test_config import BUILT
from tests.published import test_text as of_texts
from tests.published import test_vision as of_pictures

TEXTS = ["low lower lowest", "newer wider, and a cat's höher 🎈"]


def bits(model):
    return {k: (v.dtype, v.shape, v.tobytes()) for k, v in model.state_dict().items()}


def shaken(model, dtype, seed=0):
    """The model with random numbers of a dtype in all its tensors."""
    rng = np.random.default_rng(seed)
    for _, p in model.named_tensors():
        p.data = np.asarray(rng.standard_normal(p.shape), dtype)
    return model.eval()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("cls", BUILT, ids=lambda cls: cls.__name__)
def test_every_model_comes_back_bit_for_bit(cls, dtype, tmp_path):
    model = shaken(BUILT[cls](), dtype)
    folder = minivit.save(model, tmp_path / "m")
    again = minivit.load(folder).model
    assert type(again) is cls and bits(again) == bits(model) and again.config == model.config
    assert not again.training
    minivit.save(again, folder)  # over the pages that its parameters are
    assert bits(again) == bits(model) == bits(minivit.load(folder).model)


def _inputs(dtype):
    """Inputs of one model or another: ids, two of them, pictures, states, a picture with ids."""
    rng = np.random.default_rng(0)
    ids = rng.integers(5, size=(2, 5))
    texts = np.array([[1, 2, 3, 4, 11, 0], [4, 3, 2, 1, 0, 11]])  # 11 is [EOS]
    shapes = [(2, 8, 8, 3), (2, 4, 8, 3), (2, 16, 16, 3), (2, 3, 8), (2, 2, 2, 8), (2, 2, 8)]
    pictures = [Tensor(rng.standard_normal(shape).astype(dtype)) for shape in shapes]
    texts = [ids, texts, texts[:1, :5]]
    pairs = [(x, t) for x in pictures for t in texts]
    return [(ids,), (ids, ids), (texts[2],), *[(x,) for x in pictures], *pairs]


def _bytes(y):
    if isinstance(y, (tuple, list)):
        return [_bytes(item) for item in y]
    return (y.dtype, y.shape, y.numpy().tobytes()) if isinstance(y, Tensor) else y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cls", BUILT, ids=lambda cls: cls.__name__)
def test_the_outputs_are_the_same_too(cls, dtype, tmp_path):
    """A GPT's head is its token embedding: tied."""
    model = shaken(BUILT[cls](), dtype)
    again, tried = minivit.load(minivit.save(model, tmp_path / "m")).model, 0
    for inputs in _inputs(dtype):
        try:
            y = model(*inputs)
        except MinivitError:
            continue
        assert _bytes(again(*inputs)) == _bytes(y)
        tried += 1
    assert tried


class Counting(nn.Module):
    """One's own class, with buffers that are no floating-point numbers."""

    def __init__(self, width):
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.seen, self.kept = nn.Buffer(np.array(0)), nn.Buffer(np.zeros(width, bool))


def test_ones_own_class_is_handed_in_and_never_imported(tmp_path):
    model = Counting(3)
    model.seen.data, model.kept.data = np.array(7), np.array([True, False, True])
    model.second.weight = model.first.weight  # tied by hand
    folder = minivit.save(model, tmp_path / "m")
    again = minivit.load(folder, classes=[Counting]).model
    assert bits(again) == bits(model) and again.second.weight is again.first.weight
    with pytest.raises(CheckpointError, match=r"hand it in: load\(folder, classes=\[Counting\]"):
        minivit.load(folder)
    config = json.loads((folder / "config.json").read_text())
    config["model"]["class"] = "os.system"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="none of this library"):
        minivit.load(folder)


def test_every_class_of_the_library_that_a_file_may_name_is_there():
    for where, names in own.CLASSES.items():
        for name in names.split():
            assert issubclass(own._class(name, ()), nn.Module), (where, name)
    assert {cls.__name__ for cls in BUILT} <= set(" ".join(own.CLASSES.values()).split())


def test_half_the_size_when_it_is_asked_for(tmp_path):
    model = shaken(ViT(), "float32")
    whole = minivit.save(model, tmp_path / "whole")
    half = minivit.save(model, tmp_path / "half", dtype="float16")
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.55 * sizes[0]
    again = minivit.load(half).model
    for name, p in model.named_tensors():
        expected = p.numpy().astype(np.float16).astype(np.float32)
        assert dict(again.named_tensors())[name].numpy().tobytes() == expected.tobytes()
    model.head.bias.data[0] = 1e6
    with pytest.raises(OptionError, match=r"head.bias: over 65504"):
        minivit.save(model, half, dtype="float16")
    assert bits(minivit.load(half).model) == bits(again)


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_weights_that_others_halved_are_read(stored, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    folder = minivit.save(shaken(ViT(), "float32"), tmp_path / "m")
    path = folder / "model.safetensors"
    halved = {k: v.to(getattr(torch, stored)) for k, v in load_file(path).items()}
    save_file(halved, path)
    for name, p in minivit.load(folder).model.named_tensors():
        assert (p.numpy() == halved[name].float().numpy()).all()


@pytest.mark.parametrize("tokenizer", [
    BPE.train(TEXTS, 300, ["<|endoftext|>"]), CLIPTokenizer.train(TEXTS, 560),
    WordPiece.train(TEXTS, 60), WordPiece.train(TEXTS, 60, lower=False), None,
], ids=lambda t: f"{type(t).__name__}")  # fmt: skip
def test_a_tokenizer_comes_back(tokenizer, tmp_path):
    if isinstance(tokenizer, CLIPTokenizer):
        tokenizer.context_length = 20
    folder = minivit.save(GPT(600, 8, 8, 1, 2), tmp_path / "m", tokenizer=tokenizer)
    again = minivit.load(folder).tokenizer
    assert type(again) is type(tokenizer)
    if tokenizer is None:
        return
    assert again.symbols == tokenizer.symbols
    assert again.special_tokens == tokenizer.special_tokens
    for text in (*TEXTS, "<|endoftext|> Unseen Ä"):
        assert again.encode(text, special=True) == tokenizer.encode(text, special=True)
    if isinstance(tokenizer, CLIPTokenizer):
        assert (again(TEXTS, truncate=True) == tokenizer(TEXTS, truncate=True)).all()


def test_preprocessing_and_labels_come_back(tmp_path):
    look = Preprocess((4, 6), 8, "bilinear", True, 0.5, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    folder = minivit.save(ViT(8, 4, 3, 2), tmp_path / "m", preprocess=look, labels=["a", "ü"])
    again = minivit.load(folder)
    assert again.preprocess == look and again.labels == ["a", "ü"]
    pixels = minivit.load("emoji-gpt")
    minivit.save(pixels.model, folder, preprocess=pixels.preprocess)
    again = minivit.load(folder)
    assert again.labels is None and again.preprocess.side == 16
    np.testing.assert_array_equal(
        again.preprocess.palette.colours, pixels.preprocess.palette.colours
    )
    assert again.preprocess.preprocess == pixels.preprocess.preprocess


@pytest.mark.parametrize("family", ["bert", "gpt2", "image_gpt", "marian", "vit_hf", "clip_hf"])
def test_what_others_published_is_saved_in_our_format_too(family, tmp_path):
    case = of_pictures.case if family.endswith("_hf") else of_texts.case
    found = minivit.load(case(family).write(tmp_path / "theirs"))
    beside = {key: getattr(found, key) for key in ("tokenizer", "preprocess", "labels")}
    again = minivit.load(minivit.save(found.model, tmp_path / "ours", **beside))
    assert bits(again.model) == bits(found.model) and again.family == found.family
    assert (again.preprocess, again.labels) == (found.preprocess, found.labels)


def test_a_sentence_encoder_comes_back_with_all_its_steps(tmp_path):
    case = of_texts.case("bert")
    folder = case.write(tmp_path / "theirs")
    of_texts.PIECES.save(folder / "vocab.txt")
    found = minivit.load(folder)
    width = found.model.tokens.weight.shape[1]
    steps = [sentences.Dense(width, 5, "tanh"), sentences.Normalize()]
    head = sentences.SentenceHead(sentences.Pooling(["cls"]), steps, {"q": "a "}, "q").eval()
    for steps in (head, found.sentences):
        found.sentences = steps
        again = minivit.load(minivit.save(
            found.model, tmp_path / "ours", tokenizer=found.tokenizer, sentences=steps
        ))  # fmt: skip
        expected = sentences.embed(found, ["a b c", "abc"])
        assert sentences.embed(again, ["a b c", "abc"]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("arguments, kind, says", [
    (dict(model=3), DtypeError, "expected a minivit.nn.Module"),
    (dict(dtype="float8"), OptionError, "expected None"),
    (dict(tokenizer=str.split), DtypeError, "tokenizer is a method_descriptor"),
    (dict(preprocess=len), DtypeError, "preprocess is a builtin"),
    (dict(labels="ab"), DtypeError, "expected a list of strings"),
    (dict(labels=[1, 2]), DtypeError, "expected a list of strings"),
    (dict(labels=["a"]), OptionError, "got 1, the model has"),
])  # fmt: skip
def test_what_cannot_be_saved_is_told_and_nothing_is_written(arguments, kind, says, tmp_path):
    with pytest.raises(kind, match=says):
        minivit.save(**{"model": ViT(), "folder": tmp_path / "m"} | arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_its_config_does_not_make_is_not_saved(tmp_path):
    model = ViT(classes=10)
    model.head = nn.Linear(64, 3)
    with pytest.raises(StateError, match=r"head.weight: \(3, 64\), by its config \(10, 64\)"):
        minivit.save(model, tmp_path / "m")
    model = ViT(**ViT().config | {"classes": 3})
    assert minivit.load(minivit.save(model, tmp_path / "m")).model.head.weight.shape == (3, 64)


def test_saving_draws_no_random_numbers(tmp_path):
    model = Counting(3)
    minivit.manual_seed(1)
    expected = nn.Linear(3, 3).weight.numpy()
    minivit.manual_seed(1)
    minivit.save(model, tmp_path / "m")
    np.testing.assert_array_equal(nn.Linear(3, 3).weight.numpy(), expected)


# -- files that are not what they should be --------------------------------------------------------
@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    tokenizer = CLIPTokenizer.train(TEXTS, 560)
    folder = tmp_path_factory.mktemp("saved") / "m"
    return minivit.save(
        ViT(8, 4, 3, 2), folder, tokenizer, Preprocess((8, 8)), labels=["a", "b"]
    )  # fmt: skip


def copied(folder, to):
    to.mkdir(parents=True)
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.json", "merges.txt"])
@pytest.mark.parametrize("how", ["missing", "empty", "cut", "other"])
def test_a_file_that_is_missing_cut_off_or_another_is_told(saved, name, how, tmp_path):
    folder = copied(saved, tmp_path / "m")
    path = folder / name
    content = {"empty": b"", "cut": path.read_bytes()[:-7], "other": b"[1, 2]\n"}
    path.unlink() if how == "missing" else path.write_bytes(content[how])
    with pytest.raises((CheckpointError, StateError)):
        minivit.load(folder)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4),
    st.lists(st.integers(-1, 3), max_size=3), st.just({}), st.just({"class": "ViT"}),
    st.just({"class": "Linear", "in_features": 2, "out_features": 2}), st.just({"class": "os"}),
)  # fmt: skip


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_config_json_says_the_model_loads_or_the_error_is_typed(saved, data):
    """One value of it, at any depth, becomes another, or goes."""
    config = json.loads((saved / "config.json").read_text())
    place = config
    while True:
        key = data.draw(st.sampled_from(sorted(place)), "key")
        if not isinstance(place[key], dict) or data.draw(st.booleans(), "here"):
            break
        place = place[key]
    if data.draw(st.booleans(), "remove"):
        del place[key]
    else:
        place[key] = data.draw(VALUES, "value")
    from minivit.published import empty, weights

    arrays = weights.read(saved / "model.safetensors")
    try:
        if config.get("model_type") == "minivit":
            model = empty(own, config, arrays).model
            own.extras(saved, config, model)
    except (CheckpointError, StateError):
        pass


@pytest.mark.parametrize("change, says", [
    ({"format": 2}, "a newer version may read it"),
    ({"model": {"class": "ViT", "layers": 10**9}}, "layers is 1000000000, expected 0 to"),
    ({"model": {"class": "ViT", "width": 10**12}}, "width is"),
    ({"model": {"class": "ViT", "wdith": 3}}, "ViT: got an unexpected keyword argument 'wdith'"),
    ({"model": {"class": "ViT", "pool": "cls"}}, "pool is 'cls'"),
    ({"model": {"class": "GPT", "vocabulary": 3, "context": 4}}, "holds other tensors"),
])  # fmt: skip
def test_a_config_that_does_not_fit_is_told(saved, change, says, tmp_path):
    folder = copied(saved, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises((CheckpointError, StateError), match=says):
        minivit.load(folder)


# -- atomic ----------------------------------------------------------------------------------------
def test_a_process_killed_while_saving_leaves_the_old_model_or_the_new(tmp_path):
    """Two models of one architecture, saved in turn and killed at a random moment."""
    code = """
import sys, minivit
from minivit.models.vit import ViT
from tests.published.test_own import shaken
models = [shaken(ViT(), "float32", seed) for seed in (0, 1)]
minivit.save(models[0], sys.argv[1], labels=["0"] * 10)
print("ready", flush=True)
while True:
    for i in (1, 0):
        minivit.save(models[i], sys.argv[1], labels=[str(i)] * 10)
"""
    expected = [bits(shaken(ViT(), "float32", seed)) for seed in (0, 1)]
    for wait in (0.0, 0.05, 0.11):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "m")], stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        child.stdout.readline()
        try:
            child.wait(wait)
        except subprocess.TimeoutExpired:
            child.kill()
        child.wait()
        found = minivit.load(tmp_path / "m")
        assert bits(found.model) == expected[int(found.labels[0])]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "m", tmp_path / "file", tmp_path / ("x" * 300)):
        with pytest.raises(MinivitError, match="cannot be written"):
            minivit.save(ViT(), place)


# -- what training writes, and what ships ----------------------------------------------------------
def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "notes").write_text("mine")
    for write in (minivit.save, export.export):
        with pytest.raises(OSError, match="it is a file, expected a folder"):
            write(ViT(), tmp_path / "notes")
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize("path, kind", [(None, DtypeError), (3, DtypeError), ("", OptionError)])
def test_what_is_no_path_is_told(path, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call, name in (
        (lambda: minivit.save(ViT(), path), "save: folder"),
        (lambda: export.export(ViT(), path), "export: folder"),
        (lambda: minivit.load(path), "load: source"),
    ):
        with pytest.raises(kind, match=f"{name} is .*, expected a path"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("classes", [ViT, ["ViT"], [int], 3, None])
def test_classes_of_ones_own_are_a_list_of_modules(classes, saved):
    with pytest.raises(DtypeError, match=r"load: classes is .*, expected a list of Modules"):
        minivit.load(saved, classes=classes)


def test_a_checkpoint_of_the_trainer_is_a_model(tmp_path):
    split = data.digits()
    model = ViT()
    batches = data.Batches(split.train_images, split.train_labels, batch_size=8, seed=0)
    trainer = Trainer(
        model, optim.Adam(model.parameters()), batches, folder=tmp_path / "run", save_every=2
    )
    trainer.run(3, progress=False)
    assert bits(minivit.load(tmp_path / "run").model) == bits(model)  # the newest
    assert minivit.load(tmp_path / "run" / "step-000002").family == "vit"


def test_models_that_ship_have_short_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "emoji").mkdir()
    found = minivit.load("emoji")
    assert found.family == "clip" and found.tokenizer.context_length == 16
    assert minivit.load("emoji-resnet").labels[0] == "smileys-emotion"
    with pytest.raises(CheckpointError):
        minivit.load("./emoji")


@pytest.mark.parametrize("key", ["lower", "max_chars", "longest"])
@pytest.mark.parametrize("value", ["a", "", None, [], {}, 0.5, -1, 0, 10**30, [[1]]])
def test_a_field_of_a_tokenizer_of_a_wrong_kind_is_refused_when_it_is_read(key, value, tmp_path):
    """Not when it is used: a fuzz found max_chars "a", a TypeError of the first word."""
    from minivit.published.vocabularies import Pieces

    pieces = Pieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])
    folder = minivit.save(GPT(600, 8, 8, 1, 2), tmp_path / "m", tokenizer=pieces)
    said = json.loads((folder / "config.json").read_text())
    assert key in said["tokenizer"]
    said["tokenizer"][key] = value
    (folder / "config.json").write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match=f"config.json: {key} is"):
        minivit.load(folder)


class Wrapped(nn.Module):
    def __init__(self, name="model"):
        setattr(self, name, nn.Linear(3, 2))

    def forward(self, x):
        return next(iter(self.__dict__.values()))(x)


@pytest.mark.parametrize("name", ["model", "module", "encoder", "net"])
def test_names_that_are_wrappers_elsewhere_are_ours(name, tmp_path):
    model = Wrapped(name)
    minivit.save(model, tmp_path)
    found = minivit.load(tmp_path, classes=[Wrapped]).model
    assert {n for n, _ in found.named_tensors()} == {f"{name}.weight", f"{name}.bias"}
