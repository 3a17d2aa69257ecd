"""Sentence encoders: a model's states of a text become one vector, as sentence-transformers does.

    minilm = minivit.load("sentence-transformers/all-MiniLM-L6-v2")
    vectors = sentences.embed(minilm, ["a sentence", "another one"])  # (2, 384)

modules.json in such a folder lists the steps: the Transformer; a Pooling of its states; and then
Dense, LayerNorm, Normalize, whose weights lie in folders of their own. A folder without that list
gets the mean of the states, of length 1. A step that is not here is refused by its name: left out,
it would give other vectors. Source: sentence_transformers 6.2, sentence_transformer/modules.
"""

import numpy as np

from minivit import functions, nn
from minivit.engine import ops
from minivit.engine.errors import CheckpointError, OptionError
from minivit.engine.modes import no_grad
from minivit.published import read_json, tables, vocabularies, weights
from minivit.transformer import activate

MODULES, PROMPTS = "modules.json", "config_sentence_transformers.json"
SETTINGS = [  # of the Transformer; older versions had a name for each kind
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
UNCHANGED = {  # a setting of the Transformer: the values that change nothing here
    "transformer_task": ("feature-extraction",), "module_output_name": ("token_embeddings",),
    "modality_config": ({"text": TEXT},), "unpad_inputs": (True, False),
    "model_args": ({"add_pooling_layer": False},),
}  # fmt: skip
WEIGHTED = ("Dense", "LayerNorm")  # steps that have weights
STEPS = ("Transformer", "Pooling", *WEIGHTED, "Normalize", "Dropout")
POOLINGS = {  # the mode: what older files have in its place, in the order of joining
    "cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens", "lasttoken": "pooling_mode_lasttoken",
}  # fmt: skip
ACTIVATIONS = {  # PyTorch's class: ours
    "Identity": None, "Tanh": "tanh", "Sigmoid": "sigmoid", "ReLU": "relu", "GELU": "gelu",
    "SiLU": "silu",
}  # fmt: skip


# -- the steps -------------------------------------------------------------------------------------
class Pooling(nn.Module):
    """States (B, N, D) to one vector a text: (B, n D), for n modes of POOLINGS.

    include_prompt: whether the tokens of a prompt count.
    """

    def __init__(self, modes=("mean",), include_prompt=True):
        self.modes, self.include_prompt = tuple(modes), include_prompt

    def forward(self, h, mask, prompt=0):
        """mask (B, N): True = a token. prompt: how many tokens in front are the prompt's."""
        places = np.arange(1, mask.shape[1] + 1)  # (N,)
        if not self.include_prompt:
            mask = mask & (places > prompt)
        weights = {
            "mean": mask / mask.sum(axis=1, keepdims=True).clip(1),
            "mean_sqrt_len_tokens": mask / np.sqrt(mask.sum(axis=1, keepdims=True).clip(1)),
            "weightedmean": mask * places / (mask * places).sum(axis=1, keepdims=True).clip(1),
            "cls": (places - 1 == mask.argmax(axis=1)[:, None]).astype(float),
            "lasttoken": (places == (mask * places).max(axis=1)[:, None]).astype(float),
        }
        pooled = []
        for mode in self.modes:
            if mode == "max":
                far = np.where(mask, 0, np.finfo(h.dtype).min).astype(h.dtype)[:, :, None]
                pooled.append((h + far).max(axis=1))  # (B, N, D) -> (B, D)
            else:
                w = weights[mode].astype(h.dtype)[:, None]  # (B, 1, N)
                pooled.append((w @ h)[:, 0])  # (B, 1, N) (B, N, D) -> (B, D)
        return ops.concatenate(pooled, axis=1) if len(pooled) > 1 else pooled[0]


class Dense(nn.Module):
    """f(x W^T + b), with x added or not (through a matrix, where the widths differ)."""

    def __init__(self, width, out, activation="tanh", bias=True, residual=False):
        self.linear, self.activation = nn.Linear(width, out, bias), activation
        self.added = residual
        self.residual = nn.Linear(width, out, False) if residual and width != out else None

    def forward(self, x):
        y = self.linear(x)
        if self.activation in ("tanh", "sigmoid"):
            y = ops.tanh(y) if self.activation == "tanh" else functions.sigmoid(y)
        elif self.activation is not None:
            y = activate(self.activation, y)
        if not self.added:
            return y
        return y + (x if self.residual is None else self.residual(x))


class Normalize(nn.Module):
    """Each vector of length 1."""

    def forward(self, x):
        return functions.l2_normalize(x, axis=1)


class SentenceHead(nn.Module):
    """All that follows the Transformer: (B, N, D) -> (B, E).

    prompts: {name: text put in front}; prompt: the name of the one that is used unless another is
    asked for, or None. first: only so many numbers of a vector are kept.
    """

    def __init__(self, pooling, steps, prompts=None, prompt=None, lower=False, first=None):
        self.pooling, self.steps, self.first = pooling, list(steps), first
        self.prompts, self.prompt, self.lower = dict(prompts or {}), prompt, lower

    def forward(self, h, mask, prompt=0):
        x = self.pooling(h, mask, prompt)
        for step in self.steps:
            x = step(x)
        return x if self.first is None else x[:, : self.first]


# -- from files ------------------------------------------------------------------------------------
def listed(folder):
    """[(kind, its folder)] of modules.json, checked; None where there is no such file."""
    if not (folder / MODULES).is_file():
        return None
    found = [_step(entry) for entry in read_json(folder / MODULES, kind=list)]
    order = [kind for kind, _ in found]
    if order[:2] != ["Transformer", "Pooling"] or {"Transformer", "Pooling"} & set(order[2:]):
        raise CheckpointError(
            f"{MODULES}: the steps are {order}, expected Transformer, Pooling, and then any of "
            f"{', '.join(STEPS[2:])}"
        )
    return found


def _step(entry):
    """(kind, its folder) of an entry of modules.json."""
    entry = entry if isinstance(entry, dict) else {}
    name, path = entry.get("type"), entry.get("path")
    package, _, kind = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if kind not in STEPS or package.partition(".")[0] != "sentence_transformers":
        raise CheckpointError(
            f"{MODULES}: the step {name!r} is not built here, only {', '.join(STEPS)}; without "
            f"it the vectors would be others. (To read the encoder alone, remove {MODULES})"
        )
    plain = isinstance(path, str) and path.isprintable() and "\\" not in path
    folder = path.strip("/") if plain else ""
    if not plain or folder in (".", "..") or "/" in folder or len(folder) > weights.LONGEST:
        shown = path[: weights.LONGEST] if isinstance(path, str) else path
        raise CheckpointError(f"{MODULES}: {shown!r} is not the name of a folder in this one")
    if not folder and kind in ("Pooling", *WEIGHTED):
        raise CheckpointError(f"{MODULES}: the step {name!r} has no folder of its own")
    return kind, folder


def transformer_in(folder):
    """Where the Transformer of a folder lies, by modules.json: mostly in the folder itself, of
    older versions in one of its own, such as 0_Transformer."""
    modules = read_json(folder / MODULES, kind=list) if (folder / MODULES).is_file() else []
    kind, path = _step(modules[0]) if modules else ("", "")
    return folder / path if kind == "Transformer" else folder


def _root(folder):
    """The folder of modules.json for that of the Transformer."""
    if not (folder / MODULES).is_file() and (folder.parent / MODULES).is_file():
        if transformer_in(folder.parent) == folder:
            return folder.parent
    return folder


def wanted(folder):
    """(files that modules.json makes useful, those that it needs), to be downloaded."""
    steps = (listed(folder) or [])[1:]
    needed = [f"{path}/{weights.WHOLE[0]}" for kind, path in steps if kind in WEIGHTED]
    settings = [] if (folder / SETTINGS[0]).exists() or not steps else SETTINGS[1:]
    return [*settings, *(f"{path}/config.json" for _, path in steps)], needed


def head_of(folder, width):
    """The `SentenceHead` behind the Transformer of a folder, which is `width` wide."""
    inner, folder = folder, _root(folder)
    steps = listed(folder)
    if steps is None:
        alone = folder / "1_Pooling" / "config.json"
        pooling = pooling_of(read_json(alone)) if alone.is_file() else Pooling()
        return SentenceHead(pooling, [Normalize()])
    pooling = pooling_of(_settings(folder, steps[1][1], "pooling_mode, or pooling_mode_..."))
    width, built = width * len(pooling.modes), []
    for kind, path in steps[2:]:
        if kind == "Normalize":
            built.append(Normalize())
        elif kind in WEIGHTED:
            built.append((dense if kind == "Dense" else layer_norm)(folder, path, width))
            width = getattr(built[-1], "linear", built[-1]).weight.shape[0]
    said = read_json(folder / PROMPTS) if (folder / PROMPTS).is_file() else {}
    prompts, name = said.get("prompts") or {}, said.get("default_prompt_name")
    texts = isinstance(prompts, dict) and all(isinstance(v, str | None) for v in prompts.values())
    if not texts or not (name is None or (isinstance(name, str) and name in prompts)):
        raise CheckpointError(
            f"{PROMPTS}: prompts is {prompts!r} and default_prompt_name {name!r}, expected texts "
            "by name, and one of the names"
        )
    prompts = {key: text or "" for key, text in prompts.items()}
    first = said.get("truncate_dim")
    if first is not None:
        tables.integer(said, "truncate_dim", 1 << 20)
    lower = _flag(_transformer_settings(inner), "do_lower_case", False, SETTINGS[0])
    return SentenceHead(pooling, built, prompts, name, lower, first).eval()


def extras(folder, model, tokenizer):
    """The result of a family of text encoders: its tokenizer, and the `SentenceHead` behind it."""
    vocabularies.fitting(tokenizer, model)
    if tokenizer is not None:
        tokenizer.longest = longest(folder, model.context)
    width = model.tokens.weight.shape[1]
    return {"tokenizer": tokenizer, "sentences": head_of(folder, width)}


def longest(folder, context):
    """The number of tokens of a text that are read: the files' limit, at most the context."""
    said = _transformer_settings(folder).get("max_seq_length")
    if said is not None:
        return min(tables.integer({"max_seq_length": said}, "max_seq_length", 1 << 30), context)
    path = folder / "tokenizer_config.json"
    said = read_json(path).get("model_max_length") if path.is_file() else None
    if said is None:
        return context
    if type(said) not in (int, float) or not said >= 2:  # 1e30 stands for no limit
        raise CheckpointError(
            f"tokenizer_config.json: model_max_length is {said!r}, expected a number from 2 on"
        )
    return int(min(said, context))


def _transformer_settings(folder):
    """What a file says of the Transformer. What would change its states is refused by name."""
    name = next((name for name in SETTINGS if (folder / name).is_file()), None)
    said = read_json(folder / name) if name else {}
    for key in said.keys() - {"max_seq_length", "do_lower_case"}:
        if said[key] not in (None, {}, *UNCHANGED.get(key, ())):
            raise CheckpointError(
                f"{name}: {key} is {said[key]!r}, which is not done here; the vectors would be "
                "others"
            )
    return said


def _settings(folder, path, what):
    name = f"{path}/config.json"
    if not (folder / name).is_file():
        raise CheckpointError(f"{name} is not there, which says {what}")
    return read_json(folder / name, name=name)


def _flag(said, key, default, file):
    value = default if said.get(key) is None else said[key]
    if type(value) is not bool:
        raise CheckpointError(f"{file}: {key} is {value!r}, expected true or false")
    return value


def pooling_of(said):
    """The Pooling of a config.json: pooling_mode, or the switches that came before it."""
    modes = said.get("pooling_mode")
    if modes is None:
        switched = {key for key in said if key.startswith("pooling_mode_") and said[key]}
        if unknown := switched - set(POOLINGS.values()):
            raise CheckpointError(f"Pooling: {sorted(unknown)} are not built here")
        modes = [mode for mode, key in POOLINGS.items() if key in switched] or "mean"
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or not all(
        isinstance(mode, str) and mode in POOLINGS for mode in modes
    ):  # fmt: skip
        raise CheckpointError(f"Pooling: pooling_mode is {modes!r}, expected of {list(POOLINGS)}")
    return Pooling(modes, _flag(said, "include_prompt", True, "Pooling"))


def dense(folder, path, width):
    """The Dense of a folder, with its weights."""
    said = _settings(folder, path, "the activation")
    name = said.get("activation_function", "torch.nn.modules.activation.Tanh")
    package, _, kind = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if not package.startswith("torch.nn") or kind not in ACTIVATIONS:
        raise CheckpointError(
            f"{path}/config.json: activation_function is {name!r}, expected PyTorch's "
            f"{', '.join(ACTIVATIONS)}"
        )
    for key in ("module_input_name", "module_output_name"):
        if said.get(key) not in (None, "sentence_embedding"):
            raise CheckpointError(
                f"{path}/config.json: {key} is {said[key]!r}; a Dense here works on the vector of "
                "the sentence alone"
            )
    arrays = weights.read(folder / path)
    bias = "linear.bias" in arrays
    if "linear.weight" not in arrays or len(arrays.stored["linear.weight"].shape) != 2:
        raise CheckpointError(f"{path}: the file has no matrix linear.weight")
    residual = _flag(said, "use_residual", False, f"{path}/config.json")
    with nn.empty():
        module = Dense(
            width, arrays.stored["linear.weight"].shape[0], ACTIVATIONS[kind], bias, residual
        )
    names = [name for name, _ in module.named_tensors()]
    return tables.fill(module, arrays, {name: name for name in names})


def layer_norm(folder, path, width):
    """The LayerNorm of a folder, with its weights; eps is PyTorch's."""
    with nn.empty():
        module = nn.LayerNorm(width, 1e-5)
    return tables.fill(
        module, weights.read(folder / path), {f: f"norm.{f}" for f in ("weight", "bias")}
    )


# -- embedding -------------------------------------------------------------------------------------
@no_grad()
def embed(pretrained, texts, batch_size=32, progress=False, prompt_name=None, prompt=None):
    """The vectors of texts: n texts -> (n, E); one text -> (E,).

    prompt: a text put before each; prompt_name: one of the model's own (`sentences.prompts`); None
    of both: the model's default, which mostly is none. Texts of like length share a batch, so that
    little of it is padding.
    """
    from tqdm.auto import tqdm

    model, tokenizer, head = pretrained.model, pretrained.tokenizer, pretrained.sentences
    if tokenizer is None or head is None:
        raise CheckpointError(
            "embed: the model has no vocabulary beside it that is read here: vocab.txt, "
            "tokenizer.json, or vocab.json and merges.txt"
        )
    if isinstance(texts, str):
        return embed(pretrained, [texts], batch_size, progress, prompt_name, prompt)[0]
    front = _prompt(head, prompt_name, prompt)
    texts = [front + text for text in texts]
    if head.lower:
        front, texts = front.lower(), [text.lower() for text in texts]
    rows = tokenizer.rows(texts)
    skipped = len(tokenizer.rows([front])[0]) - 1 if front else 0  # with its start, not its end
    order = np.argsort([-len(row) for row in rows], kind="stable")  # the largest batch first
    vectors, batches = None, range(0, len(rows), batch_size)
    for i in tqdm(batches, "batches", disable=not progress or len(batches) < 2, leave=False):
        places = order[i : i + batch_size]
        ids, mask = tokenizer.padded([rows[place] for place in places])
        found = head(model.hidden(ids, mask), mask, skipped).numpy()  # (B, N, D) -> (B, E)
        if vectors is None:
            vectors = np.empty((len(rows), found.shape[1]), found.dtype)
        vectors[places] = found
    return np.empty((0, 0), np.float32) if vectors is None else vectors


def _prompt(head, name, prompt):
    if prompt is not None:
        return prompt
    name = head.prompt if name is None else name
    if name is None:
        return ""
    if name not in head.prompts:
        raise OptionError(f"embed: prompt_name is {name!r}, the model has {list(head.prompts)}")
    return head.prompts[name]
