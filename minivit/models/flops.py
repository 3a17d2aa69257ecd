"""The work of a forward pass, from the shapes of a model's weights.

    with nn.empty():  # shapes are enough
        image, text = flops(clip("ViT-B/32")).values()

Two operations for each multiply-add of the matrix products and convolutions, attention included
(all N keys, also where a causal mask hides half of them). Norms, activations and pooling, under one
percent, are not counted.
"""

from minivit.models.bert import BERT
from minivit.models.clip import CLIP, TextTransformer
from minivit.models.gpt import GPT
from minivit.models.image_gpt import ImageGPT
from minivit.models.resnet import ModifiedResNet
from minivit.models.seq2seq import Seq2Seq
from minivit.models.vit import ViT


def flops(model):
    """{what goes in: operations} of a model; {} for one of another kind."""
    for kind, count in COUNTS.items():
        if isinstance(model, kind):
            return {what: 2 * products for what, products in count(model).items()}
    return {}


def size(*linears):
    """The weights of some Linear layers: multiply-adds for each token. None counts nothing."""
    return sum(linear.weight.size for linear in linears if linear is not None)


def layers(stack, N, M=0):
    """Multiply-adds of Transformer layers on N tokens, which attend to M of a memory too."""
    total = 0
    for layer in stack:
        D = layer.attn.out_proj.weight.shape[0]
        total += N * (layer.attn.in_proj_weight.size + size(layer.attn.out_proj))
        total += 2 * N * N * D  # scores, and means of values
        total += N * size(layer.mlp.fc1, layer.mlp.fc2)
        if M:
            total += N * (D * D + size(layer.cross.out_proj)) + M * 2 * D * D + 2 * N * M * D
    return total


def vit(model):
    patches = model.grid[0] * model.grid[1]
    N, D = patches + (model.pool == "class"), model.norm.weight.shape[0]
    total = patches * size(model.projection) + layers(model.layers, N)
    total += size(model.pre_logits, model.head)
    if model.pool == "map":
        head = model.map  # one query
        total += size(head.q_proj, head.out_proj, head.mlp.fc1, head.mlp.fc2)
        total += N * size(head.k_proj, head.v_proj) + 2 * N * D
    return {f"an image of {model.image[0]} x {model.image[1]} pixels": total}


def clip(model):
    encoder, text = model.image_encoder, model.text_encoder
    if isinstance(encoder, ModifiedResNet):
        side, image = modified_resnet(encoder)
    else:
        side, N = encoder.image, len(encoder.positional_embedding)
        image = (N - 1) * size(encoder.patches.projection) + layers(encoder.layers, N)
    image += 0 if model.W_i is None else model.W_i.size
    counts = {f"an image of {side} x {side} pixels": image}
    if isinstance(text, TextTransformer):
        N = text.context
        counts[f"a text of {N} tokens"] = layers(text.layers, N) + model.W_t.size
    return counts


def modified_resnet(model):
    """(side of the image, multiply-adds)."""
    pool = model.attnpool
    at = image = pool.side << (len(model.layers) + 1)  # pixels of a side
    at //= 2
    total = at * at * (model.conv1.weight.size + model.conv2.weight.size + model.conv3.weight.size)
    at //= 2
    for stage in model.layers:
        for block in stage.modules_:
            total += at * at * (block.conv1.weight.size + block.conv2.weight.size)
            at //= block.stride
            total += at * at * block.conv3.weight.size
            if block.downsample is not None:
                total += at * at * block.downsample.modules_[0].weight.size
    M, C = at * at + 1, pool.positional_embedding.shape[1]
    total += M * size(pool.k_proj, pool.v_proj) + 2 * M * C + size(pool.q_proj, pool.c_proj)
    return image, total


def resnet(model, side):
    """Operations of a plain ResNet on an image of side x side pixels: it takes any side."""
    at = side // model.patch
    total = at * at * model.stem.weight.size + size(model.head)
    for block in model.blocks:
        at = -(-at // block.conv1.stride)
        total += at * at * (block.conv1.weight.size + block.conv2.weight.size)
        if block.shortcut is not None:
            total += at * at * block.shortcut.modules_[0].weight.size
    return 2 * total


def gpt(model):
    N = model.context
    return {f"a text of {N} tokens": layers(model.layers, N) + N * model.wte.weight.size}


def image_gpt(model):
    N = model.pixels
    return {f"an image of {N} pixels": layers(model.layers, N) + N * size(model.head)}


def bert(model):
    N = model.context
    total = layers(model.layers, N) + size(model.pooler)
    if model.head is not None:
        total += N * (size(model.head) + model.tokens.weight.size)
    return {f"a text of {N} tokens": total}


def seq2seq(model):
    N = model.context
    total = layers(model.encoder, N) + layers(model.decoder, N, N) + N * model.embedding.weight.size
    return {f"{N} tokens to {N} tokens": total}


COUNTS = {
    ViT: vit, CLIP: clip, GPT: gpt, ImageGPT: image_gpt, BERT: bert, Seq2Seq: seq2seq,
}  # fmt: skip
