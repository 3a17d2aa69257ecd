"""Image GPT: a GPT-2 that reads pixels (Chen et al., "Generative Pretraining from Pixels", 2020).

An image is a sequence of palette ids in raster order; the model knows nothing of rows and columns.
Differences from GPT-2, all from the released code: the norm has no mean and no bias, no Linear has
a bias, the activation is x sigmoid(1.702 x), the output table is its own and starts at zero, and
the input is shifted by a start vector, so that every pixel is predicted, the first one too.
"""

import math

import numpy as np

from minivit import functions, nn
from minivit.attention import KVCache
from minivit.engine import backend, ops
from minivit.engine.errors import OptionError, ShapeError
from minivit.engine.modes import no_grad
from minivit.engine.record import function
from minivit.engine.tensor import Tensor
from minivit.functions import IGNORED
from minivit.sampling import generation
from minivit.sampling.decoding import Decoder, linear
from minivit.text.batch import check_length, checked_ids, host, token_ids
from minivit.transformer import TransformerLayer

# name: (layers, width, heads, pixels); XL's heads were not published: 64 numbers a head, as S
SIZES = {
    "S": (24, 512, 8, 32 * 32),
    "M": (36, 1024, 8, 32 * 32),
    "L": (48, 1536, 16, 32 * 32),
    "XL": (60, 3072, 48, 64 * 64),
}


class ImageGPT(nn.Module):
    """Palette ids (B, N) to logits (B, N, colours).

    forward: autoregressive, logits[:, i] for pixel i given the pixels before it. fill: BERT's
    objective, logits for every pixel given all that are not hidden. norm: "pre", or "post" for the
    order of the original Transformer. bias: that of transformers' port, which the original lacks.
    """

    def __init__(
        self, colours=512, pixels=1024, width=512, layers=24, heads=8, norm="pre", hidden=None,
        activation="quick_gelu", eps=1e-5, bias=False,
    ):  # fmt: skip
        nn.check_sizes(self, colours=colours, pixels=pixels, width=width, heads=heads)
        nn.check_sizes(self, layers=layers)
        self.colours, self.pixels = colours, pixels
        self.wte = nn.Embedding(colours, width)
        self.wpe = nn.Embedding(pixels, width)
        self.sos = nn.Parameter(nn.normal((width,), 0.02))
        how = dict(norm=norm, activation=activation, eps=eps, layer_norm=nn.RMSNorm, bias=bias)
        self.layers = [TransformerLayer(width, heads, hidden, **how) for _ in range(layers)]
        self.norm = nn.RMSNorm(width, eps)
        self.head = nn.Linear(width, colours, bias=False)
        self._initialise(width, layers)

    def _initialise(self, D, L):
        std = {
            "wte.weight": 0.02, "wpe.weight": 0.01, "head.weight": 0.0, "mlp.fc1.weight": 0.02,
            "mlp.fc2.weight": 0.02, "attn.in_proj_weight": 1 / math.sqrt(D),
            "attn.out_proj.weight": 1 / math.sqrt(D * L),
        }  # fmt: skip
        for name, p in self.named_parameters():
            for ending, s in std.items():
                if name.endswith(ending):
                    p.assign(nn.normal(p.shape, s))

    def shifted(self, ids):
        """[sos, x_0, ..., x_(n-2)]: position i holds the pixel before i. (B, N) -> (B, N, D)."""
        ids = checked_ids("ImageGPT", ids, self.pixels)
        B, N = ids.shape
        start = ops.broadcast_to(self.sos, (B, 1, self.sos.shape[0]))
        x = ops.concatenate([start, self.wte(ids[:, :-1])], axis=1) if N > 1 else start
        return x + self.wpe(np.arange(N))

    def forward(self, ids):
        return self.head(self.norm(self.states(self.shifted(ids), causal=True)[-1]))

    def fill(self, ids, hidden):
        """Logits (B, N, colours) given the pixels that are not hidden; hidden (B, N) boolean."""
        return self.head(self.norm(self.states(self.visible(ids, hidden), causal=False)[-1]))

    def visible(self, ids, hidden=None):
        """BERT's input: no start vector, no shift. A hidden pixel's vector is zero (there is no
        mask token); its position stays. (B, N) -> (B, N, D)."""
        ids = checked_ids("ImageGPT", ids, self.pixels)
        B, N = ids.shape
        x = self.wte(ids)
        if hidden is not None:
            shown = ~self._checked_hidden(hidden, (B, N))[:, :, None]
            x = x * Tensor(shown.astype(self.sos.dtype), device=self.sos.device)
        return x + self.wpe(np.arange(N))

    def states(self, x, causal):
        """The residual stream before each layer and after the last: L + 1 tensors (B, N, D)."""
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1], causal=causal))
        return states

    def features(self, ids, causal=True, hidden=None):
        """The input of the linear probes: the normed input of every layer, and the final norm,
        averaged over the sequence: L + 1 tensors (B, D). causal=False: BERT's input."""
        if causal and hidden is not None:
            raise OptionError("features: causal=True has no hidden pixels; causal=False hides them")
        x = self.shifted(ids) if causal else self.visible(ids, hidden)
        norms = [layer.ln_1 for layer in self.layers] + [self.norm]
        return [norm(x).mean(axis=1) for norm, x in zip(norms, self.states(x, causal))]

    @staticmethod
    def _checked_hidden(hidden, shape):
        hidden = host("ImageGPT: hidden", hidden)
        if hidden.dtype != bool or hidden.shape != shape:
            raise ShapeError(
                f"ImageGPT: hidden is {hidden.dtype} of shape {hidden.shape}; expected booleans of "
                f"the ids' shape {shape}, True = this pixel is not seen"
            )
        return hidden

    def loss(self, ids):
        """Autoregressive: the mean over all pixels of -log p(x_i | x_0 .. x_(i-1)), in nats."""
        ids = token_ids("ImageGPT", ids)
        return functions.cross_entropy_loss(self(ids), ids)

    @functions.mean_over(lambda ids, hidden: np.sum(hidden))
    def bert_loss(self, ids, hidden):
        """BERT: the mean of -log p(x_i | visible pixels) over the hidden pixels."""
        ids = token_ids("ImageGPT", ids)
        hidden = self._checked_hidden(hidden, ids.shape)
        return functions.cross_entropy_loss(self.fill(ids, hidden), np.where(hidden, ids, IGNORED))

    def generate(self, ids, steps, **how):
        """Stream the pixels after ids (B, n), n may be 0: yields (ids (B,), probabilities (B, V)).

        how: temperature, top_k, top_p, seed (minivit.sampling.generation.generate).
        """
        ids = token_ids("generate", ids, least=0)
        check_length("generate", ids.shape[1] + generation.checked_steps(steps), self.pixels)
        caches = [KVCache(self.pixels) for _ in self.layers]
        decode = Decoder(self.layers, self.norm, caches)
        E, P = self.wte.weight, self.wpe.weight

        @no_grad()
        def next_logits(drawn):
            if drawn is not None:
                here = backend.to_device(drawn, E.device)
                x = E.data[here] + P.data[decode.length]  # (B, D)
                return backend.to_numpy(linear(decode(x), self.head.weight))
            # the prompt: position n predicts the first new pixel
            x = self.shifted(np.pad(ids, ((0, 0), (0, 1))))
            for layer, cache in zip(self.layers, caches):
                x = layer(x, causal=True, cache=cache)
            return self.head(self.norm(x[:, -1])).numpy()

        return generation.generate(next_logits, len(ids), steps, **how)

    def complete(self, ids, pixels=None, progress=False, **how):
        """The rest of the image: ids (B, n) -> (B, pixels). n = 0 samples whole images."""
        from tqdm.auto import tqdm

        ids = token_ids("complete", ids, least=0)
        pixels = self.pixels if pixels is None else pixels
        nn.check_sizes("complete", least=0, pixels=pixels)
        check_length("complete", ids.shape[1], pixels)
        steps = pixels - ids.shape[1]
        bar = tqdm(self.generate(ids, steps, **how), "", steps, disable=not progress, unit="pixel")
        return np.concatenate([ids, *(tokens[:, None] for tokens, _ in bar)], axis=1)


@function
def image_gpt(name, pixels=None):
    """A published size: "S" (76M parameters), "M" (455M), "L" (1.4B) or "XL" (6.8B). pixels: the
    length of the sequence, if it is not the published one."""
    if name not in SIZES:
        raise OptionError(f"image_gpt: got {name!r}, expected one of {list(SIZES)}")
    layers, width, heads, published = SIZES[name]
    return ImageGPT(512, published if pixels is None else pixels, width, layers, heads)


@function
def count_parameters(name, pixels=None):
    """The parameters of a published size, without allocating them."""
    with nn.empty():
        return image_gpt(name, pixels).count_parameters()
