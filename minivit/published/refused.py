"""Relatives that are not read, and why: what they have that no model of this book has."""

REFUSED = {  # model_type in config.json: the reason
    "siglip": "its text encoder reads both ways and has another head. Its image encoder is read: "
    "save it alone, as transformers' SiglipVisionModel",
    "mpnet": "a learnt bias of the distance is added to the scores of attention",
    "dinov2_with_registers": "registers: tokens more, which belong to no patch",
    "dinov3_vit": "positions are rotations of queries and keys, and there are registers",
    "beit": "a learnt bias of the distance is added to the scores of attention",
    "vit_mae": "its encoder sees a part of the patches, and a decoder paints the others",
    "swin": "attention within windows that shift",
    "convnext": "convolutions, and no attention",
    "albert": "all layers are one, and the embedding is narrower than they are",
    "electra": "the embedding may be narrower than the layers, and the heads are others",
    "deberta": "attention has scores of content and of distance apart",
    "deberta-v2": "attention has scores of content and of distance apart",
    "modernbert": "positions are rotations, and MLPs have gates",
    "t5": "a learnt bias of the distance is added to the scores of attention",
    "bart": "learnt positions, and a norm after the embedding",
    "gpt_neox": "positions are rotations of queries and keys",
    "llama": "positions are rotations, and MLPs have gates",
    "mistral": "positions are rotations, and MLPs have gates",
    "qwen2": "positions are rotations, and MLPs have gates",
}
