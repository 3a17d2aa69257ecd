"""No setting of a config.json is passed over in silence: with any one of them changed, a file that
transformers writes is computed as transformers computes it, or refused."""

import warnings

import numpy as np
import pytest

import minivit
from minivit import Tensor
from minivit.engine.errors import MinivitError

torch = pytest.importorskip("torch")
T = pytest.importorskip("transformers", reason="needs torch and transformers")
pytestmark = pytest.mark.parity

IMAGE = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
             image_size=12, patch_size=4)  # fmt: skip
TEXT = dict(vocab_size=30, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
            intermediate_size=40, max_position_embeddings=18)  # fmt: skip
GPT = dict(vocab_size=30, n_embd=24, n_layer=2, n_head=3, n_positions=16)
IMAGES = np.random.default_rng(0).standard_normal((2, 12, 12, 3))
IDS = np.array([[3, 5, 7, 9, 4], [4, 3, 4, 6, 8]])
SILENT = {  # of training, of generation, of what is handed back, of rounding
    "transformers_version", "architectures", "model_type", "dtype", "id2label", "label2id",
    "reorder_and_upcast_attn", "_name_or_path", "problem_type", "return_dict",
    "output_hidden_states", "output_attentions",
}  # fmt: skip
FUNCTIONS = ("gelu", "gelu_new", "quick_gelu", "relu", "silu", "tanh", "gelu_10", "mish")


def of_image(attribute):
    return lambda model: getattr(model(torch.tensor(IMAGES).permute(0, 3, 1, 2)), attribute)


def of_text(attribute, ids=IDS):
    return lambda model: getattr(model(torch.tensor(ids)), attribute)


def ended(end):
    return np.c_[IDS, [end, end]]


def start_first(model):  # the last row of Image GPT's embedding stands for the start
    ids = np.c_[np.full(2, model.config.vocab_size - 1), IDS[:, :-1]]
    return model(torch.tensor(ids)).logits


def translated(model):
    return model(torch.tensor(IDS), decoder_input_ids=torch.tensor(IDS[:, :3])).logits


CASES = {  # transformers' model, its configuration, the numbers of both
    "vit": ("ViTForImageClassification", "ViTConfig", IMAGE, of_image("logits"),
            lambda m: m(Tensor(IMAGES))),
    "dinov2": ("Dinov2Model", "Dinov2Config", {**IMAGE, "mlp_ratio": 2}, of_image("pooler_output"),
               lambda m: m(Tensor(IMAGES))),
    "siglip": ("SiglipVisionModel", "SiglipVisionConfig", IMAGE, of_image("pooler_output"),
               lambda m: m(Tensor(IMAGES))),
    "clip images": ("CLIPVisionModelWithProjection", "CLIPVisionConfig",
                    {**IMAGE, "projection_dim": 16}, of_image("image_embeds"),
                    lambda m: m(Tensor(IMAGES))),
    "clip texts": ("CLIPTextModelWithProjection", "CLIPTextConfig",
                   {**TEXT, "projection_dim": 16, "bos_token_id": 28, "eos_token_id": 29},
                   of_text("text_embeds", ended(29)), lambda m: m(ended(29))),
    "bert": ("BertModel", "BertConfig", TEXT, of_text("last_hidden_state"),
             lambda m: m.hidden(IDS)),
    "roberta": ("RobertaModel", "RobertaConfig", TEXT, of_text("last_hidden_state"),
                lambda m: m.hidden(IDS)),
    "distilbert": ("DistilBertModel", "DistilBertConfig",
                   dict(vocab_size=30, dim=24, n_layers=2, n_heads=3, hidden_dim=40,
                        max_position_embeddings=16),
                   of_text("last_hidden_state"), lambda m: m.hidden(IDS)),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT, of_text("logits"), lambda m: m(IDS)),
    "image_gpt": ("ImageGPTForCausalImageModeling", "ImageGPTConfig", GPT, start_first,
                  lambda m: m(IDS)),
    "marian": ("MarianMTModel", "MarianConfig",
               dict(vocab_size=30, d_model=24, encoder_layers=2, decoder_layers=2,
                    encoder_attention_heads=3, decoder_attention_heads=3, encoder_ffn_dim=40,
                    decoder_ffn_dim=40, max_position_embeddings=16, pad_token_id=29,
                    decoder_start_token_id=29, eos_token_id=0),
               translated, lambda m: m(IDS, IDS[:, :3])),
}  # fmt: skip


def others(value):
    """Other values of a setting, of its kind."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value * 2, 0]
    if isinstance(value, float):
        return [value * 4 + 0.05]
    if value is None:
        return [True, 52, "mean"]
    if isinstance(value, str):
        return FUNCTIONS if value in FUNCTIONS else ["mean", "relative_key", "rotary"]
    return []


def drawn(kind, config):
    torch.manual_seed(0)
    model = kind(config).eval()
    for name, p in model.named_parameters():
        if p.requires_grad:
            p.data = torch.randn_like(p) * 0.2 + (1 if "orm" in name and p.ndim == 1 else 0)
    model.tie_weights()
    return model


def compare(case, settings, folder):
    """What became of it: equal, refused, or not made by transformers itself."""
    kind, config, base, theirs, ours = CASES[case]
    try:
        model = drawn(getattr(T, kind), getattr(T, config)(**{**base, **settings}))
        expected = theirs(model.double()).detach().numpy()
        model.float().save_pretrained(folder)
    except Exception:  # whatever transformers says
        return "not made"
    try:
        found = minivit.load(folder).model
        for _, p in found.named_tensors():
            p.data = p.data.astype(np.float64)
        y = ours(found).numpy()
    except MinivitError:
        return "refused"
    np.testing.assert_allclose(y, expected, rtol=1e-7, atol=1e-8, err_msg=f"{case} {settings}")
    return "equal"


@pytest.mark.parametrize("case", CASES)
def test_every_setting(case, tmp_path):
    T.logging.set_verbosity_error()
    T.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert compare(case, {}, tmp_path / "base") == "equal"
        _, config, base, *_ = CASES[case]
        known = getattr(T, config)(**base).to_dict()
        tried = [
            compare(case, {key: value}, tmp_path / f"{key} {i}")
            for key in known.keys() - SILENT
            for i, value in enumerate(others(known[key]))
        ]
    assert tried.count("equal") > 8 and tried.count("refused") > 2
