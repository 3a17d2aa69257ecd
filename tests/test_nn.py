"""Modules: names, order, state, modes, moving."""

import numpy as np
import pytest

import minivit as mv
from minivit import nn
from minivit.engine import backend
from minivit.engine.errors import DtypeError, OptionError, ShapeError, StateError
from tests.devices import DEVICES

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)


class Inner(nn.Module):
    def __init__(self):
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.second(mv.relu(self.first(x)))


class Model(nn.Module):
    """Every way to hold a parameter, in an order that is not the alphabet's."""

    def __init__(self):
        self.scale = nn.Parameter(np.ones(3, np.float32))
        self.layers = [Inner(), Inner()]
        self.by_name = {"b": nn.LayerNorm(2), "a": nn.Dropout(0.5)}
        self.pair = (nn.RMSNorm(2), "no module")
        self.running = nn.Buffer(np.zeros(2, np.float32))
        self.tied = self.layers[0].second.weight
        self.number = 3

    def forward(self, x):
        return self.by_name["a"](self.by_name["b"](self.layers[0](x * self.scale)))


NAMES = [
    "scale", "layers.0.first.weight", "layers.0.first.bias", "layers.0.second.weight",
    "layers.1.first.weight", "layers.1.first.bias", "layers.1.second.weight", "by_name.b.weight",
    "by_name.b.bias", "pair.0.weight",
]  # fmt: skip


def test_parameters_are_found_in_order_and_once():
    model = Model()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert len(list(model.parameters())) == len(NAMES)
    assert model.count_parameters() == 3 + 2 * (12 + 4 + 8) + 2 + 2 + 2
    assert model.tied is model.layers[0].second.weight
    assert [type(m).__name__ for m in model.modules()] == (
        "Model Inner Linear Linear Inner Linear Linear LayerNorm Dropout RMSNorm".split()
    )
    assert [name for name, _ in nn.Sequential(nn.Linear(2, 3), nn.GELU()).named_parameters()] == [
        "0.weight",
        "0.bias",
    ]


def test_what_is_assigned_later_is_found():
    model = nn.Module()
    model.extra = nn.Linear(1, 1)
    assert [name for name, _ in model.named_parameters()] == ["extra.weight", "extra.bias"]
    del model.extra
    assert not list(model.parameters())


# -- state -----------------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_state_dict_round_trip(device):
    with mv.use(device):
        mv.manual_seed(1)
        a = Model()
        mv.manual_seed(2)
        b = Model()
        a.running.data[...] = 5.0
        state = a.state_dict()
        assert list(state) == [*NAMES, "running"]
        assert all(type(v) is np.ndarray for v in state.values())
        addresses = [p.data for p in b.parameters()]
        b.load_state_dict(state)
        for name, p in b.named_tensors():
            assert p.device == device
            assert (p.numpy() == state[name]).all()
        assert all(p.data is d for p, d in zip(b.parameters(), addresses, strict=True))
        state["scale"][...] = -1.0  # a copy: neither model has it
        assert (a.scale.numpy() == 1).all() and (b.scale.numpy() == 1).all()
        x = mv.Tensor(np.ones((2, 3), np.float32), device=device)
        assert (a.eval()(x).numpy() == b.eval()(x).numpy()).all()


def test_a_state_of_another_architecture():
    model = Model()
    before = model.state_dict()
    state = model.state_dict()
    del state["scale"], state["by_name.b.bias"]
    state["layers.2.weight"] = np.zeros(1)
    state["layers.0.first.weight"] = np.zeros((5, 3), np.float32)
    state["layers.1.first.bias"] = np.full(4, 9.0, np.float32)
    with pytest.raises(StateError) as caught:
        model.load_state_dict(state)
    says = str(caught.value)
    assert "of another architecture than this Model" in says
    assert "missing (2): scale, by_name.b.bias" in says
    assert "unexpected (1): layers.2.weight" in says
    assert "another shape (1): layers.0.first.weight: file (5, 3), model (4, 3)" in says
    for name, value in model.state_dict().items():
        assert (value == before[name]).all(), name
    with pytest.raises(StateError, match="another shape"):  # never taken, strict or not
        model.load_state_dict(state, strict=False)
    del state["layers.0.first.weight"]
    model.load_state_dict(state, strict=False)
    assert (model.layers[1].first.bias.numpy() == 9).all()
    with pytest.raises(StateError, match=r"missing \(11\): .* and 3 more"):
        model.load_state_dict({})


def test_loading_casts_to_the_models_dtype():
    layer = nn.Linear(2, 2)
    layer.load_state_dict({"weight": np.ones((2, 2)), "bias": np.ones(2, np.float16)})
    assert layer.weight.dtype == layer.bias.dtype == np.float32


def test_loading_before_backward_is_noticed():
    layer = nn.Linear(2, 2)
    x = mv.Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    y = layer(x).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(mv.engine.errors.GraphError, match="overwritten"):
        y.backward()


# -- modes -----------------------------------------------------------------------------------------
def test_train_and_eval_reach_every_module():
    model = Model()
    assert all(m.training for m in model.modules())
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    model.layers[1].train()
    assert [m.training for m in model.layers] == [False, True]
    model.train()
    assert all(m.training for m in model.modules())
    assert nn.Module.training is True  # the class is not changed


def test_freezing():
    model = Model()
    model.layers[0].requires_grad_(False)
    model(mv.Tensor(np.ones((2, 3), np.float32))).sum().backward()
    assert model.scale.grad is not None
    assert model.layers[0].first.weight.grad is None
    model.requires_grad_(True)
    model(mv.Tensor(np.ones((2, 3), np.float32))).sum().backward()
    assert model.layers[0].first.weight.grad is not None
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


# -- devices ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("there", DEVICES[1:])
def test_a_model_moves_with_its_gradients_and_buffers(there):
    model = Model()
    x = np.ones((2, 3), np.float32)
    model.eval()(mv.Tensor(x)).sum().backward()
    here = model.state_dict()
    assert model.to(there) is model
    for _, t in model.named_tensors():
        assert t.device == there
        assert t.grad is None or backend.device_of(t.grad) == there
    assert model.tied is model.layers[0].second.weight
    for name, value in model.state_dict().items():
        assert (value == here[name]).all()
    out = model(mv.Tensor(x, device=there))
    assert out.device == there
    with pytest.raises(mv.engine.errors.DeviceError, match=f"two devices.*'{there}'"):
        model(mv.Tensor(x))
    model.to("cpu")
    assert all(p.device == "cpu" for p in model.parameters())


# -- layers ----------------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_layers_are_made_on_the_default_device_in_float32(device):
    with mv.use(device):
        x = mv.Tensor(np.ones((2, 3, 4), np.float32), device=device)
        ids = np.array([[0, 1], [4, 4]])
        for layer, given, shape in (
            (nn.Linear(4, 5), x, (2, 3, 5)),
            (nn.Linear(4, 5, bias=False), x, (2, 3, 5)),
            (nn.LayerNorm(4), x, (2, 3, 4)),
            (nn.RMSNorm(4), x, (2, 3, 4)),
            (nn.Embedding(5, 3), ids, (2, 2, 3)),
            (nn.Dropout(0.5), x, (2, 3, 4)),
            (nn.GELU("quick"), x, (2, 3, 4)),
            (nn.Sequential(nn.Linear(4, 2), nn.GELU()), x, (2, 3, 2)),
        ):
            out = layer(given)
            assert out.shape == shape
            assert out.dtype == np.float32
            assert out.device == device
            assert all(p.dtype == np.float32 and p.requires_grad for p in layer.parameters())


def test_initialisations_have_the_spread_that_they_state():
    bound = 1 / np.sqrt(100)
    w = nn.Linear(100, 400).weight.numpy()
    assert np.abs(w).max() <= bound and w.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
    assert nn.Embedding(200, 100).weight.numpy().std() == pytest.approx(1, rel=0.02)
    x = nn.truncated_normal((200, 100), 0.02)
    assert np.abs(x).max() <= 0.04 + 1e-7
    assert x.std() == pytest.approx(0.02 * 0.8796, rel=0.02)  # the spread of what is left
    assert nn.normal((200, 100), 0.02).std() == pytest.approx(0.02, rel=0.02)
    x = nn.xavier_uniform(300, 100)
    assert np.abs(x).max() <= np.sqrt(6 / 400)
    assert x.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)


def test_a_layer_draws_the_same_weights_from_the_same_seed():
    mv.manual_seed(7)
    a = Model().state_dict()
    mv.manual_seed(7)
    b = Model().state_dict()
    assert all((a[name] == b[name]).all() for name in a)


def test_errors():
    with pytest.raises(OptionError, match="Dropout: p is 1, expected 0 <= p < 1"):
        nn.Dropout(1)
    with pytest.raises(ShapeError, match=r"linear: x has shape"):
        nn.Linear(4, 2)(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"assign: got shape \(2,\), expected \(2, 4\)"):
        nn.Linear(4, 2).weight.assign(np.ones(2))


def test_a_state_is_row_major_whatever_the_layout_of_the_weights():
    """A file format writes the buffer as it lies; a column-major weight would come back garbled."""
    layer = mv.MultiHeadAttention(8, 2)
    assert not layer.in_proj_weight.data.flags.c_contiguous  # else this test shows nothing
    for name, array in layer.state_dict().items():
        assert array.flags.c_contiguous, name


# -- print, options, modes -------------------------------------------------------------------------
def test_print_is_a_tree_with_shapes_and_counts_and_like_layers_once():
    model = Model()
    lines = str(model).splitlines()
    assert lines[0] == f"Model  {model.count_parameters()}  scale (3,)  running (2,)  tied (2, 4)"
    assert lines[1] == "  layers.0 to layers.1: Inner  24"
    assert lines[2] == "    first: Linear  16  weight (4, 3)  bias (4,)"
    model.layers[1].first.requires_grad_(False)
    lines = str(model).splitlines()
    assert [x for x in lines if "layers" in x] == ["  layers.0: Inner  24", "  layers.1: Inner  24"]
    assert [x for x in lines if "frozen" in x] == [
        "    first: Linear  16  frozen  weight (4, 3)  bias (4,)"
    ]
    counts = [p.size for p in model.parameters()]
    assert sum(counts) == model.count_parameters()


NO_SIZE = [0, -1, 1.5, "3", None, True, [2]]
NO_NUMBER = [-1, np.nan, np.inf, "1", None, [0.1], True]
OPTIONS = [
    *[(lambda v: nn.Linear(v, 2), "in_features", v) for v in NO_SIZE],
    *[(lambda v: nn.Linear(2, v), "out_features", v) for v in NO_SIZE],
    *[(nn.LayerNorm, "normalized_shape", v) for v in [*NO_SIZE, (2, 3)]],
    *[(nn.RMSNorm, "normalized_shape", v) for v in NO_SIZE],
    *[(lambda v: nn.Embedding(v, 2), "num_embeddings", v) for v in NO_SIZE],
    *[(lambda v: nn.Embedding(2, v), "embedding_dim", v) for v in NO_SIZE],
    *[(nn.Dropout, "p", v) for v in [*NO_NUMBER, 1.0]],
    *[(lambda v: nn.LayerNorm(2, v), "eps", v) for v in NO_NUMBER],
    *[(nn.GELU, "approximate", v) for v in ("erf", None, 3, ["tanh"])],
]


@pytest.mark.parametrize("build, name, value", OPTIONS)
def test_options_that_cannot_be_are_named(build, name, value):
    with pytest.raises(ValueError, match=f": {name} is .*expected") as caught:
        build(value)
    assert isinstance(caught.value, OptionError)


@pytest.mark.parametrize("wrong", [3, None, "state", [("weight", 1)]])
def test_what_is_no_state_is_refused(wrong):
    with pytest.raises(DtypeError, match="load_state_dict: got"):
        nn.Linear(2, 3).load_state_dict(wrong)
    with pytest.raises(DtypeError, match="expected a module"):
        nn.Sequential(nn.Linear(2, 3), wrong)


def test_a_state_that_holds_no_numbers_changes_nothing():
    layer = nn.Linear(2, 3)
    before = layer.state_dict()
    with pytest.raises(DtypeError, match="load_state_dict: bias: "):
        layer.load_state_dict(before | {"weight": np.ones((3, 2)), "bias": np.array(["a"] * 3)})
    assert all((v == before[k]).all() for k, v in layer.state_dict().items())
