"""GA2MIF (Li et al., IEEE TAFFC 2023): graph attention within each modality, then attention between modalities.

- text: Linear to 2H, two-layer BiLSTM, Linear to H; audio, visual: tanh(Linear to H); + 1.6 E[speaker] in each;
- graph attention (MDGAT), in each modality on the same edges (i hears j for i - past <= j <= i + future):
  x <- LN(x + y), y_i = mean over heads of sum_j alpha_ij W_l x_j + b, alpha = softmax_j(a . LeakyReLU(W_r x_i + W_l
  x_j)) (``GATv2Conv``); three rounds;
- attention between modalities (MPCAT), for modality m with partners p: x_m <- LN(x_m + sum_p drop Att(x_p <- x_m)): the
  query is the partner's, the residual the value's; then x <- LN(x + drop W2 drop ReLU(W1 x)); four layers;
- logits = Linear(Linear([x_m])).

Departures from the released code, and why:

- ``form = "paper"`` has weights of its own for each round, and both partners, as the two modules per modality mean; in
  the code the rounds are one module and the sum over partners is overwritten by its last term: ``form = "released"``.
- Windows are the receiver's; there past and future are swapped, which shows with unequal ones only.
- Padding is masked; there the mask is a float tensor, which is added to the scores, so that padding is attended to.
- The three heads on single modalities, whose losses are only logged, are left out.
- The seed is not reset in each epoch, and every training dialogue is trained on.
- Speakers are numbered by their first turn in the dialogue. Class weights are counted on the training labels and scaled
  to a mean of 1; the loss divides by the utterances.
- AdamW with amsgrad is the training's own optimizer here.
- A modality without partners is only normalised in MPCAT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv

from bigfusion.model.data.batch import Batch, Dialogue
from bigfusion.model.data.utterances import Utterances
from bigfusion.model.layers.class_weights import ClassWeights
from bigfusion.model.layers.fusion import Projections
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.layers.packed_attention import attend
from bigfusion.model.layers.recurrence import over_dialogues
from bigfusion.model.layers.window_graph import window_attention
from bigfusion.model.network_settings.ga2mif import GA2MIFSettings
from bigfusion.model.networks.base import Network, Output, Part
from bigfusion.pipeline.schema import Modality

ORDER = (Modality.AUDIO, Modality.VISUAL, Modality.TEXT)
"""The order in which the released code sums over partners. Only the last term of its sums remains."""


class GraphAttention(nn.Module):
    """Rounds of LN(x + GATv2(x)) in a window. Shapes: (V, H), (V,) the dialogue of each utterance -> (V, H)."""

    def __init__(self, settings: GA2MIFSettings) -> None:
        super().__init__()
        width, own = settings.width, settings.rounds if settings.form == "paper" else 1
        self.rounds, self.past, self.future = settings.rounds, settings.past, settings.future
        self.convolutions = nn.ModuleList(
            GATv2Conv(width, width, heads=settings.graph_heads, concat=False, add_self_loops=False) for _ in range(own)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(own))

    def forward(self, states: Tensor, dialogue: Tensor) -> Tensor:
        """Attend to the window, the utterance itself included."""
        for index in range(self.rounds):
            shared = index % len(self.norms)
            attended = window_attention(self.convolutions[shared], states, dialogue, self.past, self.future)
            states = self.norms[shared](states + attended)
        return states


class PartnerAttention(nn.Module):
    """One MPCAT layer for one modality. Shapes: own (V, H), partners' (V, H) each, mask (B, N) -> (V, H)."""

    def __init__(self, settings: GA2MIFSettings, partners: Sequence[str]) -> None:
        super().__init__()
        width, dropout = settings.width, settings.dropout
        self.attention = nn.ModuleDict(
            {name: nn.MultiheadAttention(width, settings.heads, batch_first=True) for name in partners}
        )
        self.norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def attend(self, name: str, partner: Tensor, own: Tensor, mask: Tensor) -> Tensor:
        """Att(partner <- own): the partner asks, the modality's own states answer."""
        return attend(self.attention[name], partner, own, mask)  # type: ignore[arg-type]

    def forward(self, own: Tensor, states: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """Attend, then feed forward."""
        heard_of = own
        for name in self.attention:
            heard_of = heard_of + self.dropout(self.attend(name, states[name], own, mask))
        hidden = self.norm(heard_of)
        normed: Tensor = self.last_norm(hidden + self.dropout(self.feed_forward(hidden)))
        return normed


class GA2MIF(Network):
    """The network. Output: ``representations`` of each modality after the ``graph`` and the ``fusion`` (B, N, M H)."""

    numbered_speakers = True

    def __init__(self, settings: GA2MIFSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.settings = settings
        width = settings.width
        names = [str(name) for name in ORDER if name in self.widths]
        self.class_weights = ClassWeights(classes, settings.class_weights)
        self.project = nn.ModuleDict(
            {
                name: Projections({name: self.widths[name]}, 2 * width if name == Modality.TEXT else width)
                for name in names
            }
        )
        if Modality.TEXT in names:
            self.lstm = nn.LSTM(2 * width, width, 2, batch_first=True, dropout=settings.dropout, bidirectional=True)
            self.text = nn.Linear(2 * width, width)
        self.speaker = nn.Embedding(settings.speakers, width)
        self.graph = nn.ModuleDict({name: GraphAttention(settings) for name in names})
        partners = {name: [other for other in names if other != name] for name in names}
        if settings.form == "released":
            partners = {name: others[-1:] for name, others in partners.items()}
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: PartnerAttention(settings, partners[name]) for name in names})
            for _ in range(settings.layers)
        )
        self.classifier = nn.Sequential(nn.Linear(len(names) * width, width), nn.Linear(width, classes))

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Also count the classes."""
        super().fit(dialogues)
        self.class_weights.fit(dialogues)

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        mask, rows, settings = batch.mask, utterances.rows, self.settings
        speaker = settings.speaker_weight * self.speaker(utterances.speaker.clamp(max=settings.speakers - 1))
        states = {}
        for name, project in self.project.items():
            inputs = self._encode(name, project(utterances.features, utterances.present)[name], utterances) + speaker
            states[name] = self.graph[name](inputs, utterances.dialogue)  # (V, H)
        graph = torch.cat(list(states.values()), dim=-1)
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleDict)
            states = {name: layer[name](own, states, mask) for name, own in states.items()}
        fused = torch.cat(list(states.values()), dim=-1)  # (V, M H)
        return Output(rows(self.classifier(fused)), representations={"graph": rows(graph), "fusion": rows(fused)})

    def _encode(self, name: str, projected: Tensor, utterances: Utterances) -> Tensor:
        """Shapes: (V, H) or, for text, (V, 2H) -> (V, H)."""
        if name != Modality.TEXT:
            return projected.tanh()
        encoded: Tensor = self.text(over_dialogues(self.lstm, projected, utterances))
        return encoded

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """Weighted cross-entropy."""
        return {"cross_entropy": Part(classification_loss(output.logits, batch, smoothing, self.class_weights()))}


NETWORK = GA2MIF
