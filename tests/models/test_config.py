"""Every model keeps the arguments that it was built with, and can be built from them again."""

import copy
import importlib
import inspect
import json
import pickle
import pkgutil

import numpy as np
import pytest

import minivit
from minivit import models, nn
from minivit.engine.errors import DtypeError, MinivitError, OptionError
from minivit.models import bert, clip, clip_objectives, gpt, image_gpt, resnet, seq2seq, vit

BUILT = {  # every class of minivit.models, with arguments of every kind
    bert.BERT: lambda: bert.BERT(11, 6, 8, layers=1, heads=2, next_sentence=True),
    gpt.GPT: lambda: gpt.GPT(11, context=np.int64(6), width=8, layers=2, heads=2, dropout=0.1),
    seq2seq.Seq2Seq: lambda: seq2seq.Seq2Seq(9, 1, 2, 6, 8, 1, 2, decoder_layers=2),
    image_gpt.ImageGPT: lambda: image_gpt.ImageGPT(5, 6, 8, 1, 2, "post", eps=np.float64(1)),
    vit.ViT: lambda: vit.ViT((4, 8), 2, 3, 5, 8, 1, 2, pool="map", pre_logits=6),
    vit.MAPHead: lambda: vit.MAPHead(8, 2),
    resnet.ResNet: lambda: resnet.ResNet(3, 4, width=4, blocks=(1, 2)),
    resnet.ModifiedResNet: lambda: resnet.ModifiedResNet(16, 8, (1, 1), 6, heads=2),
    resnet.BatchNorm2d: lambda: resnet.BatchNorm2d(3, momentum=0.2),
    resnet.BasicBlock: lambda: resnet.BasicBlock(3, 4, 2),
    resnet.Bottleneck: lambda: resnet.Bottleneck(3, 4, 2),
    resnet.AttentionPool: lambda: resnet.AttentionPool(2, 8, 2, 5),
    clip.VisionTransformer: lambda: clip.VisionTransformer(8, 4, 16, 1, 2),
    clip.TextTransformer: lambda: clip.TextTransformer(12, 5, 16, 1, 2),
    clip.BagOfWords: lambda: clip.BagOfWords(12, width=4),
    clip.CLIP: lambda: clip.CLIP(
        clip.VisionTransformer(8, 4, 16, 1, heads=2), text_encoder=clip.BagOfWords(12, 4),
        d_i=16, d_t=4, d_e=3,
    ),
    clip_objectives.WordPredictor: lambda: clip_objectives.WordPredictor(
        resnet.ResNet(3, 7, 4, (1,)), 7, 12
    ),
    clip_objectives.Captioner: lambda: clip_objectives.Captioner(
        clip.VisionTransformer(8, 4, 16, 1, 2), 16, 12, context=6, width=8
    ),
}  # fmt: skip


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(np.array_equal(a[k], b[k]) for k in a)


def test_no_model_is_left_out():
    here = set()
    for module in pkgutil.iter_modules(models.__path__):
        for value in vars(importlib.import_module(f"minivit.models.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, nn.Module):
                here |= {value} if value.__module__ == f"minivit.models.{module.name}" else set()
    assert here - {clip.PatchEmbedding} == set(BUILT)  # a layer: CLIP checks what it is given


@pytest.mark.parametrize("cls", BUILT, ids=lambda cls: cls.__name__)
def test_a_model_is_built_again_from_its_config(cls):
    minivit.manual_seed(3)
    model = BUILT[cls]()
    config = json.loads(json.dumps(model.config))
    assert config == model.config
    minivit.manual_seed(3)
    again = cls(**config)
    assert same(model, again) and again.config == model.config
    minivit.manual_seed(3)
    assert same(model, nn.build(nn.described(model)))
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert copied.config == model.config and same(model, copied)
    with nn.empty():
        assert cls(**config).count_parameters() == model.count_parameters()


def test_one_argument_is_another():
    model = vit.ViT(classes=3, width=16)
    other = vit.ViT(**model.config | {"classes": 5})
    assert other.head.weight.shape == (5, 16)
    model.config["classes"] = 7
    assert model.config["classes"] == 3


class Mine(nn.Module):
    def __init__(self, width, *parts, act=None, **how):
        self.parts, self.how = [nn.build(p) for p in parts], nn.Linear(width, how["out"])


def test_modules_of_ones_own_keep_theirs():
    model = Mine(3, nn.Linear(2, 2), nn.Sequential(nn.GELU(), nn.Linear(1, 1)), out=4)
    again = nn.build(json.loads(json.dumps(nn.described(model))))
    assert type(again) is Mine and again.config == model.config
    assert [n for n, _ in again.named_parameters()] == [n for n, _ in model.named_parameters()]
    with pytest.raises(DtypeError, match="the argument act was a function"):
        Mine(3, act=lambda x: x, out=4).config  # noqa: B018
    with pytest.raises(TypeError, match="width"):
        Mine()


@pytest.mark.parametrize(
    "description", [3, None, {}, [], {"class": "NoModel"}, {"class": []}, {"class": "Linear"},
                    {"class": "Linear", "in_features": 2, "out_features": 3, "bais": True}],
)  # fmt: skip
def test_what_describes_no_module_is_refused(description):
    with pytest.raises((DtypeError, OptionError), match="build"):
        nn.build(description)


BAD_SIZES = [0, -1, 1.5, "8", [8]]
BAD = {
    "size": [*BAD_SIZES, None], "optional size": BAD_SIZES, "count": [-1, 1.5, "2", None],
    "option": ["no such", None, 3], "share": [1.0, -0.1, "0.5", None, float("nan")],
    "small": [-1, float("nan"), "0", None], "id": [-1, 10**6, 1.5, None],
}  # fmt: skip
KINDS = {
    "size": "vocabulary context width heads patch channels image colours pixels out side d_t d_e",
    "optional size": "hidden decoder_layers d_i", "count": "pre_logits",
    "option": "activation pool positions norm", "share": "dropout drop_path",
    "small": "eps std momentum", "id": "start end",
}  # fmt: skip
CASES = [
    (cls, name, value)
    for cls, build in BUILT.items()
    for name in build().config
    for kind, names in KINDS.items()
    if name in names.split()
    for value in BAD[kind]
]


@pytest.mark.parametrize("cls, name, value", CASES)
def test_every_argument_out_of_its_range_is_a_value_error_in_words(cls, name, value):
    """An option of no such name, a size of 0: what a caller catches is a ValueError."""
    model = BUILT[cls]()
    if value is None and inspect.signature(cls).parameters[name].default is None:
        return  # as many as are usual
    with pytest.raises(MinivitError) as caught:
        cls(**model.config | {name: value})
    assert isinstance(caught.value, ValueError)
