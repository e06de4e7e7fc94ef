"""COGMEN (Joshi et al., NAACL 2022): a Transformer for global context, a relational graph of speakers for local one.

- context: ``nn.TransformerEncoder`` over the features side by side, post-norm, without positions; then Linear to D;
- graph: i hears j for i - past <= j <= i + future, itself included; the relation of j -> i is (speaker of j, speaker of
  i, whether j comes earlier), 2 P^2 of them; a self edge is "not earlier";
- h_i = W_0 x_i + sum_r mean over j in N_r(i) of W_r x_j + b: the utterance itself counts twice, by W_0 and in a mean;
- y_i = W_s h_i + sum_j softmax_j(q_i . k_j / sqrt D) v_j (``TransformerConv``), BatchNorm, LeakyReLU;
- logits = Linear(drop ReLU(Linear(y))).

Departures from the released code, and why:

- Padding is not attended to; there it is, so that a dialogue's result depends on its batch.
- Windows are the receiver's; there past and future are swapped, which shows with unequal ones only.
- Speakers are numbered by their first turn in the dialogue. ``relations = "order"`` (same or other speaker) is there
  for corpora with many of them, which the code has no path for.
- The plateau schedule of the learning rate is the training's affair: its own schedules stand in.
- An absent modality is a learned vector; there the features are always present.
- Nothing is built that is not used (there: positions, a norm, an attention block, two heads).
- Where no number from 7 to 14 divides the features' width, the heads are the largest smaller number that does.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch_geometric.nn import BatchNorm, TransformerConv

from bigfusion.model.data.batch import Batch
from bigfusion.model.layers.context import ContextEncoder, dividing_heads
from bigfusion.model.layers.fusion import Joined
from bigfusion.model.layers.graph import Relations
from bigfusion.model.layers.rgcn import RelationalConvolution
from bigfusion.model.layers.window import edges, heard
from bigfusion.model.network_settings.cogmen import COGMENSettings
from bigfusion.model.networks.base import Network, Output


class COGMEN(Network):
    """The network. Output: ``representations`` of the ``context`` and after the ``graph`` (B, N, D)."""

    batch_norm = True

    def __init__(self, settings: COGMENSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.settings = settings
        self.numbered_speakers = settings.relations == "pairs"
        width = settings.width
        self.join = Joined(self.widths)
        self.context = ContextEncoder(
            self.join.width,
            heads=settings.heads or dividing_heads(self.join.width),
            layers=settings.layers,
            inner=settings.inner,
            dropout=settings.dropout,
        )
        self.reduce = nn.Linear(self.join.width, width)
        self.relations = Relations(settings.relations, settings.speakers)
        self.convolution = RelationalConvolution(width, self.relations.count)
        self.attention = TransformerConv(width, width)
        self.norm = BatchNorm(width, allow_single_element=True)
        self.classifier = nn.Sequential(
            nn.LeakyReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(width, classes),
        )

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        rows, speaker = utterances.rows, utterances.speaker
        joined = self.join(utterances.features, utterances.present)  # (V, F)
        nodes = self.reduce(self.context(joined, batch.mask))  # (V, D)
        linked = edges(heard(batch.mask, self.settings.past, self.settings.future), batch.mask)  # (2, E)
        source, target = linked
        relation = self.relations.of(speaker[source], speaker[target], later=source >= target)  # a self edge: too
        graph = self.norm(self.attention(self.convolution(nodes, linked, relation), linked))
        return Output(rows(self.classifier(graph)), representations={"context": rows(nodes), "graph": rows(graph)})


NETWORK = COGMEN
