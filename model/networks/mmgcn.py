"""MMGCN (Hu et al., ACL 2021, arXiv 2107.06779): one graph over all modalities of a dialogue, deep convolution.

- h^m = Linear(utterance) for each modality; text goes on through a two-layer BiLSTM and gets its speaker's embedding.
- 3n nodes: full edges within a modality, with loops, and edges between the modalities of one utterance, weighted
  1 - arccos(0.99999 cos(h_i, h_j)) / pi and normalised D^-1/2 A D^-1/2 (``layers/modal_graph``).
- X = dropout(h), H_0 = ReLU(Linear(X)), then L layers of GCNII in its variant form.
- Logits = Linear(ReLU(dropout([X^m; H^m] of all modalities side by side))).

Departures from the released code, and why:

- 4 layers, as the paper has it; the code fixes 64, whatever its script asks for. ``layers`` = 64 is as released.
- Cross-entropy for MELD as well. What is called focal there takes log p for p and the mean over all classes, right or
  wrong: (1 / (M C)) sum -(1 - y log p)^2.5 log p; ``objective`` = "released_focal" is that.
- The text's LSTM reads packed dialogues; there it starts in padding, and the classes of an utterance depend on its
  batch.
- Speakers are numbered within the dialogue; there MELD's slots are the corpus's.
- The weights' matrix is not built: what it holds besides the blocks within modalities is three diagonals.
- Class weights are counted on the training dialogues, and the loss is divided by the number of utterances; there they
  are constants of IEMOCAP, and it is divided by the sum of the weights in the batch.
- The seed is set once a training, not every epoch: the same dropout in every epoch is no dropout.
- An absent modality is a learned vector, random at first, for a vector of zeros has no angle to any. Without text no
  speaker is read.
- Layers that are built there and never used are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from bigfusion.model.data.batch import Batch, Dialogue
from bigfusion.model.data.utterances import Utterances
from bigfusion.model.layers.class_weights import ClassWeights
from bigfusion.model.layers.fusion import Projections
from bigfusion.model.layers.modal_graph import GCN2Stack, modal_graph
from bigfusion.model.layers.objectives import classification_loss, labelled_rows, target_rows
from bigfusion.model.layers.recurrence import over_dialogues
from bigfusion.model.network_settings.mmgcn import MMGCNSettings
from bigfusion.model.networks.base import Network, Output, Part
from bigfusion.pipeline.schema import Modality


class MMGCN(Network):
    """The network. Output: ``representations`` ``graph``, [X; H] of all modalities (B, N, M (D + D_graph))."""

    def __init__(self, settings: MMGCNSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        width, graph_width = settings.width, settings.graph_width
        self.objective = settings.objective
        self.projections = Projections(self.widths, width)
        for absent in self.projections.absent.values():
            nn.init.normal_(absent, std=0.1)
        self.numbered_speakers = Modality.TEXT in self.widths
        self.text: nn.LSTM | None = None
        if self.numbered_speakers:
            self.text = nn.LSTM(
                width, width // 2, num_layers=2, batch_first=True, bidirectional=True, dropout=settings.dropout
            )
            self.speakers = nn.Embedding(settings.speakers, width)
        self.dropout = nn.Dropout(settings.dropout)
        self.reduce = nn.Sequential(nn.Linear(width, graph_width), nn.ReLU())
        self.convolutions = GCN2Stack(graph_width, settings.layers, settings.alpha, settings.decay, settings.dropout)
        self.classifier = nn.Sequential(
            nn.Dropout(settings.dropout), nn.ReLU(), nn.Linear(len(self.widths) * (width + graph_width), classes)
        )
        self.class_weights = ClassWeights(classes, settings.class_weights)

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Also count the classes."""
        super().fit(dialogues)
        self.class_weights.fit(dialogues)

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        modalities = self.projections(utterances.features, utterances.present)  # (V, D) each
        if self.text is not None:
            modalities[Modality.TEXT] = self._text(modalities[Modality.TEXT], utterances)
        stacked = torch.stack(list(modalities.values()), dim=1)  # (V, M, D)
        graph = modal_graph(stacked, batch.mask[:, : int(utterances.lengths.max())])
        nodes = self.dropout(stacked)
        hidden = self.convolutions(self.reduce(nodes), graph)
        joined = torch.cat([nodes, hidden], dim=-1).flatten(1)  # (V, M (D + D_graph))
        return Output(utterances.rows(self.classifier(joined)), representations={"graph": utterances.rows(joined)})

    def _text(self, text: Tensor, utterances: Utterances) -> Tensor:
        """Text in its context, with its speaker. Shapes: (V, D) -> (V, D)."""
        assert self.text is not None
        context = over_dialogues(self.text, text, utterances)
        numbers = utterances.speaker.clamp(max=self.speakers.num_embeddings - 1)
        embedded: Tensor = context + self.speakers(numbers)
        return embedded

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """Cross-entropy weighted by class, or what was released for MELD in its place."""
        if self.objective == "released_focal":
            return {"cross_entropy": Part(released_focal_loss(output.logits, batch, smoothing))}
        return {"cross_entropy": Part(classification_loss(output.logits, batch, smoothing, self.class_weights()))}


def released_focal_loss(logits: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """The mean over utterances and classes of -(1 - y log p)^2.5 log p, y being 1 for the label. Shape: scalar."""
    logits, labels, count = labelled_rows(logits, batch)
    log_p = logits.log_softmax(-1)  # (L, C)
    terms = -((1 - target_rows(labels, batch, log_p, smoothing) * log_p) ** 2.5) * log_p
    return terms.sum() / (count * logits.shape[-1])


NETWORK = MMGCN
