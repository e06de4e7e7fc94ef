"""SDT (Ma et al., IEEE TMM 2024): Transformers within and between modalities, two levels of gates, self-distillation.

With x_m = Linear(features of m) + c (position + speaker embedding), of one table for all modalities, and c = 1 as
released:

- for each ordered pair (q, k) of modalities, q = k included, with weights and dropout of x_q and x_k of its own:
  y = x_q + drop Att(x_q <- x_k), z = y + drop W2 drop gelu(W1 LN(y)), g_qk = sigmoid(W z) * z;
- h_m = Linear([g_mk over all k]);
- fused: h = sum_m w_m * h_m, w = softmax over m of W_g h_m, channel by channel;
- logits: Linear(h), predicted; and Linear(drop ReLU(h_m)) of each modality.

Loss = CE(fused) + sum_m CE(m) + sum_m KL(p_fused || p_m), both p softened by a temperature, without the factor T^2.

Departures from the released code, and why:

- The maps of the features have a bias, as all projections of this project; the code's are width-1 convolutions without.
- Self or cross attention is told by names; there by comparing the tensors' values.
- Speakers are numbered by their first turn in the dialogue; there they are IEMOCAP's sexes and MELD's cast.
- Weighted cross-entropy divides by the utterances, the weights being scaled to a mean of 1 over the training labels;
  there by each batch's own sum of weights: the loss of a batch would not be the sum of its dialogues'. The weights are
  counted on the training labels; there they are constants that include the test split.
- With one or two modalities the pairs are those that exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from bigfusion.model.data.batch import Batch, Dialogue
from bigfusion.model.layers.class_weights import ClassWeights
from bigfusion.model.layers.cross_transformer import CrossTransformer
from bigfusion.model.layers.fusion import Projections
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.layers.transformer import positions
from bigfusion.model.network_settings.sdt import SDTSettings
from bigfusion.model.networks.base import Network, Output, Part


class Gate(nn.Module):
    """sigmoid(W z) * z, or sigmoid(z) * z where W is the identity. Shapes: (..., D) -> (..., D)."""

    def __init__(self, width: int, learnt: bool) -> None:
        super().__init__()
        self.weight = nn.Linear(width, width, bias=False) if learnt else nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        """Let through."""
        gated: Tensor = self.weight(values).sigmoid() * values
        return gated


class PairTransformer(nn.Module):
    """One ordered pair of modalities. Shapes: query, key (V, D), mask (B, N) bool -> (V, D)."""

    def __init__(self, settings: SDTSettings) -> None:
        super().__init__()
        self.dropout = nn.Dropout(settings.dropout)
        self.transformer = CrossTransformer(settings.width, settings.heads, settings.dropout)
        self.gate = Gate(settings.width, settings.gate == "learnt")

    def forward(self, query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
        """Let each utterance of ``query`` attend to its dialogue's of ``key``, and what it found through the gate."""
        asked = self.dropout(query)
        told = asked if key is query else self.dropout(key)
        gated: Tensor = self.gate(self.transformer(asked, told, mask))
        return gated


class ChannelFusion(nn.Module):
    """A weighted sum of the modalities, the weights being softmaxes of W_g h_m. Shapes: M times (V, D) -> (V, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Linear(width, width, bias=False)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Fuse."""
        stacked = torch.stack(list(states))  # (M, V, D)
        fused: Tensor = (self.weight(stacked).softmax(0) * stacked).sum(0)
        return fused


def distillation(teacher: Tensor, student: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Mean over the real utterances of KL(teacher || student). Shapes: logits (B, N, C) twice, (B, N) -> scalar."""
    precise = torch.promote_types(teacher.dtype, torch.float32)
    taught, learnt = ((rows[mask].to(precise) / temperature).log_softmax(-1) for rows in (teacher, student))
    return (taught.exp() * (taught - learnt)).sum() / mask.sum().clamp(min=1)


class SDT(Network):
    """The network. Output: ``parts["modalities"]`` the logits (B, N, C) of each modality."""

    numbered_speakers = True

    def __init__(self, settings: SDTSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.settings = settings
        width, names = settings.width, list(self.widths)
        self.class_weights = ClassWeights(classes, settings.class_weights)
        self.project = Projections(self.widths, width)
        self.speaker = nn.Embedding(settings.speakers, width)
        self.pairs = nn.ModuleDict({f"{one}_{other}": PairTransformer(settings) for one in names for other in names})
        self.join = nn.ModuleDict({name: nn.Linear(len(names) * width, width) for name in names})
        self.fusion = ChannelFusion(width)
        self.heads = nn.ModuleDict(
            {name: nn.Sequential(nn.ReLU(), nn.Dropout(settings.dropout), nn.Linear(width, classes)) for name in names}
        )
        self.classifier = nn.Linear(width, classes)

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Also count the classes."""
        super().fit(dialogues)
        self.class_weights.fit(dialogues)

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        mask, rows = utterances.mask, utterances.rows
        place = mask.nonzero()[:, 1]  # (V,)
        speaker = self.speaker(utterances.speaker.clamp(max=self.settings.speakers - 1))  # (V, D)
        added = positions(mask.shape[1], self.settings.width, like=speaker)[place] + speaker
        added = self.settings.embedding_weight * added
        inputs = {
            name: projected + added for name, projected in self.project(utterances.features, utterances.present).items()
        }
        states = {
            name: self.join[name](
                torch.cat([self.pairs[f"{name}_{other}"](query, inputs[other], mask) for other in inputs], dim=-1)
            )
            for name, query in inputs.items()
        }  # (V, D) each
        fused = self.fusion(list(states.values()))
        modalities = {name: rows(self.heads[name](state)) for name, state in states.items()}
        return Output(rows(self.classifier(fused)), {"modalities": modalities}, representations={"fusion": rows(fused)})

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """Cross-entropy of the fused prediction, of each modality's, and what they learn of the fused one."""
        weights, modalities = self.class_weights(), output.parts["modalities"].values()
        teacher = output.logits.detach() if self.settings.detach_teacher else output.logits
        own = [classification_loss(logits, batch, smoothing, weights) for logits in modalities]
        learnt = [distillation(teacher, logits, batch.mask, self.settings.temperature) for logits in modalities]
        return {
            "cross_entropy": Part(classification_loss(output.logits, batch, smoothing, weights)),
            "modalities": Part(torch.stack(own).sum()),
            "distillation": Part(torch.stack(learnt).sum(), "nodes"),
        }


NETWORK = SDT
