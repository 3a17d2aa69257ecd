"""BERT (Devlin et al. 2018) and the sentence encoders built on it, such as MiniLM: Hugging Face.

The encoder alone (BertModel) has names without "bert." before them; a pooler, the head for masked
words and the one for next sentences are there or not. The head's matrix is the token embedding. In
old files the two vectors of a LayerNorm are called gamma and beta.

    minilm = minivit.load("sentence-transformers/all-MiniLM-L6-v2")
    vectors = bert.embed(minilm, ["a sentence", "another one"])  # (2, 384), of length 1
"""

import numpy as np

from minivit.engine.errors import CheckpointError
from minivit.engine.record import no_grad
from minivit.models.bert import BERT
from minivit.published import Layout, fields, read_json, tables, vocabularies
from minivit.text import WordPiece, pad

MODEL_TYPES = ("bert",)
IGNORE = ("*embeddings.position_ids",)  # 0, 1, 2 ...
EMBEDDINGS = {
    "tokens": "word_embeddings", "positions": "position_embeddings",
    "segments": "token_type_embeddings",
}  # fmt: skip
LINEAR = {  # within a layer
    "attn.out_proj": "attention.output.dense", "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}  # fmt: skip
NORMS = {"ln_1": "attention.output.LayerNorm", "ln_2": "output.LayerNorm"}
PREDICTIONS, NEXT = "cls.predictions.", "cls.seq_relationship"


def recognises(names):
    p = fields.prefix_of(names, "bert.")
    return f"{p}embeddings.word_embeddings.weight" in names and (
        f"{p}encoder.layer.0.attention.self.query.weight" in names
    )


def build(config, arrays):
    fields.demand(config, position_embedding_type="absolute", is_decoder=False)
    p = fields.prefix_of(arrays, "bert.")
    V, D = fields.shape(arrays, f"{p}embeddings.word_embeddings.weight")
    context, _ = fields.shape(arrays, f"{p}embeddings.position_embeddings.weight")
    found = tables.count_layers(arrays, f"{p}encoder.layer.")
    layers = tables.integer(config, "num_hidden_layers", found, found)
    hidden, _ = fields.shape(arrays, f"{p}encoder.layer.0.intermediate.dense.weight")
    pooler = f"{p}pooler.dense.weight" in arrays
    head, next_sentence = f"{PREDICTIONS}bias" in arrays, f"{NEXT}.weight" in arrays
    model = BERT(
        V, context, D, layers,
        fields.heads(config, "num_attention_heads", D),
        hidden,
        eps=fields.epsilon(config, "layer_norm_eps", 1e-12),
        activation=fields.activation(config, "hidden_act", "gelu"),
        pooler=pooler, head=head, next_sentence=next_sentence,
    )  # fmt: skip
    table = {f"{o}.weight": f"{p}embeddings.{t}.weight" for o, t in EMBEDDINGS.items()}
    table |= norm("norm", f"{p}embeddings.LayerNorm", arrays)
    for i in range(layers):
        table |= layer(f"layers.{i}.", f"{p}encoder.layer.{i}.", arrays)
    table |= linear("pooler", f"{p}pooler.dense") if pooler else {}
    if head:
        table |= linear("head", f"{PREDICTIONS}transform.dense")
        table |= norm("head_norm", f"{PREDICTIONS}transform.LayerNorm", arrays)
        for ours, theirs, copy in (
            ("tokens.weight", table["tokens.weight"], f"{PREDICTIONS}decoder.weight"),
            ("head_bias", f"{PREDICTIONS}bias", f"{PREDICTIONS}decoder.bias"),
        ):
            table[ours] = ((theirs, copy) if copy in arrays else theirs, fields.tied)
    table |= linear("next", NEXT) if next_sentence else {}
    return Layout("Hugging Face", model, table, IGNORE)


def layer(ours, theirs, arrays):
    """The table of one layer, `ours` and `theirs` being the beginnings of its names."""
    table = {}
    for w in ("weight", "bias"):
        parts = tuple(f"{theirs}attention.self.{x}.{w}" for x in ("query", "key", "value"))
        table[f"{ours}attn.in_proj_{w}"] = (parts, tables.rows)
    for o, t in LINEAR.items():
        table |= linear(ours + o, theirs + t)
    for o, t in NORMS.items():
        table |= norm(ours + o, theirs + t, arrays)
    return table


def linear(ours, theirs):
    return {f"{ours}.{w}": f"{theirs}.{w}" for w in ("weight", "bias")}


def norm(ours, theirs, arrays):
    old = f"{theirs}.gamma" in arrays
    gain, bias = ("gamma", "beta") if old else ("weight", "bias")
    return {f"{ours}.weight": f"{theirs}.{gain}", f"{ours}.bias": f"{theirs}.{bias}"}


# -- sentences -------------------------------------------------------------------------------------
class Sentences(WordPiece):
    """BERT's tokens, and how a sentence encoder makes one vector of a sentence's states.

    longest: more tokens are cut off. pooling: "mean" of the states, or "cls", the first one.
    """

    longest, pooling = 512, "mean"

    def __call__(self, texts):
        """[CLS] text [SEP], padded: (ids (B, N), mask (B, N), True = a token)."""
        end = self.id_of("[SEP]")
        rows = [self.pair(text)[0] for text in texts]
        rows = [
            row if len(row) <= self.longest else [*row[: self.longest - 1], end] for row in rows
        ]
        return pad(rows, pad_id=self.id_of("[PAD]"))


def extras(folder, config, model):
    tokenizer = vocabularies.fitting(vocabularies.word_pieces(folder, Sentences), model)
    if tokenizer is not None:
        tokenizer.longest, tokenizer.pooling = model.context, "mean"
        if (folder / "sentence_bert_config.json").is_file():
            settings = read_json(folder / "sentence_bert_config.json")
            tokenizer.longest = tables.integer(
                settings, "max_seq_length", model.context, model.context
            )
        if (folder / "1_Pooling" / "config.json").is_file():
            tokenizer.pooling = _pooling(read_json(folder / "1_Pooling" / "config.json"))
    return {"tokenizer": tokenizer}


def _pooling(settings):
    modes = [k for k, v in settings.items() if k.startswith("pooling_mode_") and v is True]
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(modes) != 1 or modes[0] not in known:
        raise CheckpointError(f"1_Pooling/config.json: has {modes}, expected one of {list(known)}")
    return known[modes[0]]


@no_grad()
def embed(pretrained, texts, batch_size=32, progress=False):
    """Sentence embeddings of length 1: n texts -> (n, D). Sentences of like length share a batch,
    so that little of it is padding."""
    from tqdm.auto import tqdm

    model, tokenizer = pretrained.model, pretrained.tokenizer
    if tokenizer is None:
        raise CheckpointError("the model has no vocab.txt and no tokenizer.json beside it")
    order = np.argsort([len(text) for text in texts], kind="stable")
    rows = np.empty((len(texts), model.tokens.weight.shape[1]), np.float32)
    batches = range(0, len(texts), batch_size)
    for i in tqdm(batches, "batches", disable=not progress or len(batches) < 2, leave=False):
        places = order[i : i + batch_size]
        ids, mask = tokenizer([texts[place] for place in places])
        h = model.hidden(ids, mask).numpy()  # (B, N, D)
        if tokenizer.pooling == "cls":
            pooled = h[:, 0]
        else:
            pooled = (h * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        rows[places] = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
    return rows
