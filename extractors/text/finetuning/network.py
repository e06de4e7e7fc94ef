"""The network that fine-tuning trains: a text encoder, the pooling of its extractor, and a linear layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from bigfusion.extractors.text.encoder import TextSettings, sentence_vectors
from bigfusion.extractors.text.finetuning.data import NO_CLASS
from bigfusion.extractors.text.finetuning.settings import FinetuneSettings
from bigfusion.pipeline.errors import ExtractionError


class Classifier(nn.Module):
    """An encoder, the extractor's pooling, and one linear layer."""

    def __init__(
        self, encoder: nn.Module, classes: int, text: TextSettings, dropout: float, weight: Tensor | None
    ) -> None:
        super().__init__()
        width: int = encoder.config.hidden_size  # type: ignore[assignment, union-attr]
        self.encoder, self._text = encoder, text
        self.drop, self.classes = nn.Dropout(dropout), nn.Linear(width, classes)
        self.weight: Tensor | None
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, own: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss (scalar) and logits (P, S, C). Shapes: tokens and mask (P, N), own (P, S, N), labels (P, S)."""
        vectors = sentence_vectors(self.encoder, input_ids, attention_mask, own, self._text)  # (P, S, D)
        logits = self.classes(self.drop(vectors)).float()  # (P, S, C)
        loss = functional.cross_entropy(
            logits.flatten(0, 1),
            labels.flatten(),
            weight=self.weight,
            ignore_index=NO_CLASS,
        )
        return {"loss": loss, "logits": logits}


def freeze(encoder: nn.Module, count: int) -> None:
    """Freeze everything below the encoder's layer ``count`` (layer 0 is the lowest). 0 freezes nothing."""
    if not count:
        return
    layers = _layers(encoder)
    if count > len(layers):
        raise ExtractionError(
            f"finetune.frozen_layers {count}: expected an encoder of as many layers, found {len(layers)}; set it lower"
        )
    encoder.requires_grad_(False)
    for layer in layers[count:]:
        layer.requires_grad_(True)


def _layers(encoder: nn.Module) -> list[nn.Module]:
    """The encoder's layers, the lowest first."""
    depth: int = encoder.config.num_hidden_layers  # type: ignore[assignment, union-attr]
    found = next((m for m in encoder.modules() if isinstance(m, nn.ModuleList) and len(m) == depth), None)
    if found is None:
        raise ExtractionError(
            f"finetune: expected an encoder whose {depth} layers can be told apart, found "
            f"{type(encoder).__name__}; leave layer_decay at 1 and frozen_layers at 0"
        )
    return list(found)


def rates(network: Classifier, settings: FinetuneSettings) -> dict[nn.Parameter, float]:
    """The learning rate of each trained weight.

    It falls from layer to layer, downwards; the embeddings count as one more layer.
    """
    rate, share = settings.learning_rate, settings.layer_decay
    layers = _layers(network.encoder) if share < 1 else []
    found = {weight: rate * share ** len(layers) for weight in network.encoder.parameters()}
    for below, layer in enumerate(reversed(layers)):
        found |= dict.fromkeys(layer.parameters(), rate * share**below)
    found |= dict.fromkeys(network.classes.parameters(), rate * settings.classes_rate)
    return {weight: own for weight, own in found.items() if weight.requires_grad}
