"""PyTorch, eager, on the CPU: fused attention, nn.LayerNorm, default AdamW, packed projections."""

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import works

VERSION = f"PyTorch {torch.__version__}"


def _gelu(kind):
    if kind == "quick":
        return lambda x: x * torch.sigmoid(1.702 * x)
    return lambda x: F.gelu(x, approximate="tanh")


class Attention(nn.Module):
    def __init__(self, D, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * D, D))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * D))
        self.out_proj = nn.Linear(D, D)

    def forward(self, x, causal, cache=None):
        B, N, D = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        if cache is not None:
            k, v = cache.extend(k, v)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(out.transpose(1, 2).reshape(B, N, D))


class Cache:
    """Keys and values of the tokens so far, in arrays made once for all of them."""

    def __init__(self, B, heads, tokens, d):
        self.k, self.v = (torch.empty(B, heads, tokens, d) for _ in range(2))
        self.n = 0

    def extend(self, k, v):
        n, self.n = self.n, self.n + k.shape[2]
        self.k[:, :, n : self.n], self.v[:, :, n : self.n] = k, v
        return self.k[:, :, : self.n], self.v[:, :, : self.n]


class Layer(nn.Module):
    def __init__(self, stack):
        super().__init__()
        D = stack.width
        self.ln_1, self.ln_2 = (nn.LayerNorm(D, stack.eps) for _ in range(2))
        self.attn = Attention(D, stack.heads)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(D, 4 * D), "fc2": nn.Linear(4 * D, D)})
        self.gelu = _gelu(stack.activation)

    def forward(self, x, causal=False, cache=None):
        x = x + self.attn(self.ln_1(x), causal, cache)
        return x + self.mlp["fc2"](self.gelu(self.mlp["fc1"](self.ln_2(x))))


def stack_of(stack):
    return nn.ModuleList(Layer(stack) for _ in range(stack.layers))


def patches(images, P):
    """(B, H, W, C) -> (B, N, P P C). With a Linear behind it, as fast as a Conv2d here."""
    B, H, W, C = images.shape
    x = images.view(B, H // P, P, W // P, P, C).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(B, -1, P * P * C)


class ViT(nn.Module):
    def __init__(self, m):
        super().__init__()
        D = m.stack.width
        self.patch = m.patch
        self.projection = nn.Linear(m.patch**2 * m.channels, D)
        self.class_token = nn.Parameter(torch.empty(1, 1, D))
        self.position = nn.Parameter(torch.empty(1, m.tokens, D))
        self.layers = stack_of(m.stack)
        self.norm = nn.LayerNorm(D, m.stack.eps)
        self.head = nn.Linear(D, m.classes)

    def forward(self, images):
        x = self.projection(patches(images, self.patch))
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x[:, 0]))


class GPT(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.wte = nn.Embedding(m.vocabulary, m.stack.width)
        self.wpe = nn.Embedding(m.tokens, m.stack.width)
        self.layers = stack_of(m.stack)
        self.norm = nn.LayerNorm(m.stack.width, m.stack.eps)

    def forward(self, ids, caches=None):
        n = caches[0].n if caches else 0
        x = self.wte(ids) + self.wpe.weight[n : n + ids.shape[1]]
        for i, layer in enumerate(self.layers):
            x = layer(x, causal=caches is None, cache=caches[i] if caches else None)
        return F.linear(self.norm(x), self.wte.weight)


class VisionTransformer(nn.Module):
    def __init__(self, m):
        super().__init__()
        V = m.vision.width
        self.patch = m.patch
        self.patches = nn.ModuleDict({"projection": nn.Linear(m.patch**2 * 3, V, bias=False)})
        self.class_embedding = nn.Parameter(torch.empty(V))
        self.positional_embedding = nn.Parameter(torch.empty(m.tokens, V))
        self.ln_pre, self.ln_post = (nn.LayerNorm(V, m.vision.eps) for _ in range(2))
        self.layers = stack_of(m.vision)

    def forward(self, images):
        x = self.patches["projection"](patches(images, self.patch))
        cls = self.class_embedding.expand(len(x), 1, -1)
        x = self.ln_pre(torch.cat([cls, x], dim=1) + self.positional_embedding)
        for layer in self.layers:
            x = layer(x)
        return self.ln_post(x[:, 0])


class TextTransformer(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.token_embedding = nn.Embedding(m.vocabulary, m.text.width)
        self.positional_embedding = nn.Parameter(torch.empty(m.context, m.text.width))
        self.layers = stack_of(m.text)
        self.ln_final = nn.LayerNorm(m.text.width, m.text.eps)

    def forward(self, ids):
        t = self.token_embedding(ids) + self.positional_embedding
        for layer in self.layers:
            t = layer(t, causal=True)
        return self.ln_final(t[torch.arange(len(ids)), ids.argmax(1)])


class CLIP(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.image_encoder, self.text_encoder = VisionTransformer(m), TextTransformer(m)
        self.W_i = nn.Parameter(torch.empty(m.vision.width, m.shared))
        self.W_t = nn.Parameter(torch.empty(m.text.width, m.shared))
        self.t = nn.Parameter(torch.empty(()))

    def forward(self, images, ids):
        i = F.normalize(self.image_encoder(images) @ self.W_i, dim=1)
        t = F.normalize(self.text_encoder(ids) @ self.W_t, dim=1)
        return i @ t.T * self.t.exp()


def make(work, threads):
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    if work.kind == "ops":
        return {
            f"{op} {size}": one_op(op, *works.op_inputs(op, *shape))
            for op in works.OPS
            for size, shape in works.OP_SIZES.items()
        }
    m = work.model
    model = {works.ViT: ViT, works.GPT: GPT, works.CLIP: CLIP}[type(m)](m)
    model.load_state_dict({k: torch.from_numpy(w) for k, w in works.weights(work).items()})
    batch = [torch.from_numpy(a) for a in works.data(work)]
    if work.kind == "sample":
        return lambda: sample(model, work)
    if work.kind == "forward":
        model.eval()

        @torch.inference_mode()
        def forward():
            return model(*batch if isinstance(m, works.CLIP) else batch[:1]).numpy()

        return forward
    optimizer = torch.optim.AdamW(
        model.parameters(), works.LR, works.BETAS, works.EPS, works.WEIGHT_DECAY
    )

    def step():
        optimizer.zero_grad()
        logits = model(batch[0])
        loss = F.cross_entropy(logits.view(-1, logits.shape[-1]), batch[1].reshape(-1))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


@torch.inference_mode()
def sample(model, work):
    """Token after token, each the likeliest: ids (B, N), the first one 0."""
    m, B = work.model, work.batch
    d = m.stack.width // m.stack.heads
    caches = [Cache(B, m.stack.heads, m.tokens, d) for _ in range(m.stack.layers)]
    ids = torch.zeros(B, m.tokens, dtype=torch.long)
    for n in range(1, m.tokens):
        ids[:, n] = model(ids[:, n - 1 : n], caches)[:, -1].argmax(-1)
    return ids.numpy()


def _attention(qkv, heads=4):
    B, N, D = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = qkv.view(B, N, 3, heads, D // heads).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, N, D)


FUNCTIONS = {
    "add": torch.add,
    "linear": F.linear,
    "layer_norm": lambda x, w, b: F.layer_norm(x, w.shape, w, b),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "softmax": lambda x: F.softmax(x, dim=-1),
    "cross_entropy": F.cross_entropy,
    "attention": _attention,
}


def one_op(op, arrays, g):
    f, g = FUNCTIONS[op], torch.from_numpy(g)
    inputs = [torch.from_numpy(a) for a in arrays]
    wanted = [x.requires_grad_() for x in inputs if x.is_floating_point()]

    def run():
        for x in wanted:
            x.grad = None
        y = f(*inputs)
        y.backward(g)
        return [y.detach().numpy(), *(x.grad.numpy() for x in wanted)]

    return run
