"""Image encoders of random weights, saved as real checkpoints with their processors."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    ConvNextConfig,
    ConvNextModel,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

from tests.helpers.made_once import made_once

SMALL: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip


@made_once
def saved(folder: Path, kind: str) -> None:
    """A checkpoint with its processor: 32 x 32 pixels, 16 numbers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "clip":
            text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
            model: Any = CLIPModel(CLIPConfig(text_config=text, vision_config=SMALL, projection_dim=8))
        elif kind == "dinov2":
            model = Dinov2Model(Dinov2Config(**{**SMALL, "mlp_ratio": 2}))
        elif kind == "vit":
            model = ViTModel(ViTConfig(**SMALL))
        elif kind == "vit classifier":
            model = ViTForImageClassification(ViTConfig(**SMALL, num_labels=7))
        else:
            model = ConvNextModel(ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, patch_size=4))
        model.save_pretrained(folder)
    sides = {"height": 32, "width": 32}
    CLIPImageProcessor(size=sides, crop_size=sides, do_center_crop=False).save_pretrained(folder)
