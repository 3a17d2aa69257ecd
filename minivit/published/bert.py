"""BERT (Devlin et al. 2018) and the sentence encoders built on it, such as MiniLM: Hugging Face.

The encoder alone (BertModel) has names without "bert." before them; a pooler, the head for masked
words and the one for next sentences are there or not. The head's matrix is the token embedding. In
old files the two vectors of a LayerNorm are called gamma and beta.

    minilm = minivit.load("sentence-transformers/all-MiniLM-L6-v2")
    vectors = sentences.embed(minilm, ["a sentence", "another one"])  # (2, 384), of length 1
"""

from minivit.models.bert import BERT
from minivit.published import Layout, bert_layouts, fields, sentences, tables, vocabularies

OTHERS = {
    "distilbert": bert_layouts.distilbert, "roberta": bert_layouts.roberta,
    "xlm-roberta": bert_layouts.roberta, "camembert": bert_layouts.roberta,
}  # fmt: skip
MODEL_TYPES = ("bert", *OTHERS)
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
    others = bert_layouts.is_distilbert(names) or bert_layouts.is_roberta(names)
    return others or (
        f"{p}embeddings.word_embeddings.weight" in names
        and (f"{p}encoder.layer.0.attention.self.query.weight" in names)
    )


def build(config, arrays):
    if "model_type" in config:
        other = OTHERS.get(config["model_type"])
    else:
        distil = bert_layouts.is_distilbert(arrays)
        roberta = bert_layouts.roberta if bert_layouts.is_roberta(arrays) else None
        other = bert_layouts.distilbert if distil else roberta
    if other is not None:
        return other(config, arrays)
    fields.demand(config, position_embedding_type="absolute", is_decoder=False)
    p = fields.prefix_of(arrays, "bert.")
    V, D = fields.shape(arrays, f"{p}embeddings.word_embeddings.weight")
    context, _ = fields.shape(arrays, f"{p}embeddings.position_embeddings.weight")
    kinds, _ = fields.shape(arrays, f"{p}embeddings.token_type_embeddings.weight")
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
        pooler=pooler, head=head, next_sentence=next_sentence, kinds=kinds,
    )  # fmt: skip
    table = table_of(p, layers, pooler, head, next_sentence, arrays)
    return Layout("Hugging Face", model, table, bert_layouts.BUFFERS)


def table_of(p, layers, pooler, head, next_sentence, arrays=()):
    """p: what stands before the names. arrays: the file's, which may have older or more names."""
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
    return table


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


# -- what stands beside the weights ----------------------------------------------------------------
def extras(folder, config, model):
    if config.get("model_type") == "camembert":  # its pieces have other ids
        return sentences.extras(folder, model, None)
    tokenizer = vocabularies.xlm_pieces(folder)  # the multilingual MiniLM has them, too
    if tokenizer is None and config.get("model_type") == "roberta":
        tokenizer = vocabularies.byte_pairs(folder, vocabularies.BytePairs)
    elif tokenizer is None and config.get("model_type") != "xlm-roberta":
        tokenizer = vocabularies.word_pieces(folder, vocabularies.Pieces)
    return sentences.extras(folder, model, tokenizer)
