"""PyTorch's results with small random models of text and pixels: the fixtures of
tests/published/test_text.py, which reads them with NumPy alone.

    pip install torch==2.13.0 && pip install transformers==5.23.0
    python tests/reference/make_text.py [folder]

One npz file a family: "config" (JSON), "w/NAME" the weights as the file of a checkpoint has them
(float32), "in/NAME" inputs, "out/NAME" outputs, "g/NAME" the loss's gradient of every parameter and
"after/NAME" the parameters after one step of AdamW (float64 all three). No parameter is left at
its initial value: biases of zero and gains of one would hide errors.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn.functional import cross_entropy

STEP = dict(lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)


def gpt2(seed=0, layers=2, width=16, heads=2):
    """GPT2LMHeadModel; rows padded on the right, where nothing is predicted."""
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=12, n_embd=width, n_layer=layers, n_head=heads, n_inner=None,
        bos_token_id=39, eos_token_id=39,
    )  # fmt: skip
    model = perturbed(transformers.GPT2LMHeadModel(config), seed)
    rng = np.random.default_rng(seed)
    ids, mask = rng.integers(0, 40, (3, 9)), np.arange(9) < np.array([9, 6, 4])[:, None]
    logits = model(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
    labels = torch.tensor(np.where(mask, ids, -100)[:, 1:])
    loss = cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten())  # theirs is in float32
    return found(model, {"ids": ids, "mask": mask}, {"logits": logits, "loss": loss})


def image_gpt(seed=0, layers=2, width=16, heads=4, biases=True):
    """ImageGPTForCausalImageModeling. The loss is the paper's, over all pixels; transformers' own
    shifts once more and leaves the last pixel out."""
    config = transformers.ImageGPTConfig(
        vocab_size=33, n_positions=16, n_embd=width, n_layer=layers, n_head=heads
    )
    model = perturbed(transformers.ImageGPTForCausalImageModeling(config), seed)
    if not biases:  # those that the original has not: zero in its converted checkpoints
        with torch.no_grad():
            for name, p in model.named_parameters():
                if name.endswith("bias"):
                    p.zero_()
    ids = np.random.default_rng(seed).integers(0, 32, (3, 16))
    shifted = np.concatenate([np.full((3, 1), 32), ids[:, :-1]], axis=1)
    logits = model(torch.tensor(shifted)).logits
    loss = cross_entropy(logits.flatten(0, 1), torch.tensor(ids).flatten())
    return found(model, {"ids": ids}, {"logits": logits, "loss": loss})


def bert(seed=0, layers=2, width=16, heads=2):
    """BertForPreTraining: two segments, padding, masked tokens and the next sentence."""
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=2 * width, max_position_embeddings=12,
    )  # fmt: skip
    model = perturbed(transformers.BertForPreTraining(config), seed)
    rng = np.random.default_rng(seed)
    ids, mask = rng.integers(0, 40, (3, 9)), np.arange(9) < np.array([9, 6, 4])[:, None]
    segments = (np.arange(9) >= 4).astype(int)[None].repeat(3, axis=0)
    labels = np.where((rng.random((3, 9)) < 0.4) & mask, rng.integers(0, 40, (3, 9)), -100)
    labels[:, 1] = 7
    follows = np.array([0, 1, 1])
    out = model(
        torch.tensor(ids), torch.tensor(mask), torch.tensor(segments), labels=torch.tensor(labels),
        next_sentence_label=torch.tensor(follows), output_hidden_states=True,
    )  # fmt: skip
    given = {"ids": ids, "mask": mask, "segments": segments, "labels": labels, "follows": follows}
    outputs = {
        "hidden": out.hidden_states[-1], "logits": out.prediction_logits,
        "next": out.seq_relationship_logits, "loss": out.loss,
        "pooled": model.bert.pooler(out.hidden_states[-1]),
    }  # fmt: skip
    return found(model, given, outputs)


def marian(seed=7, layers=(1, 2), width=12, heads=2, activation="swish", scaled=True):
    """MarianMTModel: padded sources and targets, and its own greedy translation."""
    config = transformers.MarianConfig(
        vocab_size=31, d_model=width, encoder_layers=layers[0], decoder_layers=layers[1],
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=2 * width,
        decoder_ffn_dim=2 * width, max_position_embeddings=14, pad_token_id=30, eos_token_id=0,
        decoder_start_token_id=30, forced_eos_token_id=0, activation_function=activation,
        scale_embedding=scaled,
    )  # fmt: skip
    model = perturbed(transformers.MarianMTModel(config), seed)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        model.final_logits_bias.copy_(torch.tensor(0.5 * rng.standard_normal((1, 31))).float())
    source, source_mask = rng.integers(1, 30, (3, 8)), np.arange(8) < [[8], [5], [3]]
    target, target_mask = rng.integers(1, 30, (3, 7)), np.arange(7) < [[7], [3], [6]]
    target[:, 0] = 30  # start
    target[np.arange(3), target_mask.sum(axis=1) - 1] = 0  # end
    source[~source_mask], target[~target_mask] = 30, 30
    labels = torch.tensor(np.where(target_mask, target, -100)[:, 1:])
    out = model(
        torch.tensor(source), torch.tensor(source_mask), torch.tensor(target[:, :-1]), labels=labels
    )
    greedy = model.generate(
        torch.tensor(source), attention_mask=torch.tensor(source_mask).long(), num_beams=1,
        do_sample=False, max_length=12, bad_words_ids=[[30]],
    )  # fmt: skip
    given = {"source": source, "source_mask": source_mask, "target": target,
             "target_mask": target_mask}  # fmt: skip
    memory = out.encoder_last_hidden_state
    return found(model, given, {"logits": out.logits, "memory": memory, "loss": out.loss,
                                "greedy": greedy})  # fmt: skip


FAMILIES = {"gpt2": gpt2, "image_gpt": image_gpt, "bert": bert, "marian": marian}


def perturbed(model, seed):
    """Every parameter drawn anew, exact in float32; in float64, without dropout.

    PyTorch's embeddings give the vector of padding no gradient, although Marian starts each target
    with it; here it gets the one that it has.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                gain = 1.0 if p.ndim == 1 and name.endswith("weight") else 0.0
                p.copy_(torch.randn(p.shape, generator=generator) * 0.3 + gain)
    return model.double().eval()


def found(model, given, outputs):
    """All of it as arrays, after the backward pass of outputs["loss"] and one step of AdamW."""
    parameters = {k: p for k, p in model.named_parameters() if p.requires_grad}
    saved = set(parameters) | {"final_logits_bias"}  # of the buffers, Marian's file has this one
    weights = {k: v.float().numpy() for k, v in model.state_dict().items() if k in saved}
    outputs["loss"].backward()
    gradients = {k: p.grad.numpy() for k, p in parameters.items()}
    torch.optim.AdamW(parameters.values(), **STEP).step()
    config = model.config.to_dict() | {"architectures": [type(model).__name__]}
    return {
        "config": np.array(json.dumps(config, default=str)),
        **{f"w/{k}": v for k, v in weights.items()},
        **{f"in/{k}": np.asarray(v) for k, v in given.items()},
        **{f"out/{k}": v.detach().numpy() for k, v in outputs.items()},
        **{f"g/{k}": v for k, v in gradients.items()},
        **{f"after/{k}": p.detach().numpy() for k, p in parameters.items()},
    }


def main(folder):
    for name, make in FAMILIES.items():
        path = Path(folder) / f"{name}.npz"
        np.savez_compressed(path, **make())
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
