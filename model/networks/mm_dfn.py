"""MM-DFN (Hu et al., ICASSP 2022, arXiv 2203.02385): MMGCN's graph, with a gate over depth and parties' own states.

- x^m = Linear(utterance) for each modality. Text's context is a two-layer BiGRU of it; of the others it is x^m itself.
- A second two-layer BiGRU, one for all parties and modalities, reads each party's own utterances x^m in their order;
  w_m times its states are added, w_m being fixed.
- Graph and normalisation are MMGCN's (``layers/modal_graph``); X = dropout of the nodes, H_0 = ReLU(Linear(X)).
- Dynamic fusion, layer k: (g_k, c_k) = LSTM cell(H_{k-1}, (g_{k-1}, c_{k-1})), one cell for all nodes and layers;
  H_k = H_{k-1} + dropout(ReLU(theta_k [A g_k; H_0] W_k + (1 - theta_k) ((1 - alpha) A g_k + alpha H_0))).
- Logits = Linear(ReLU(dropout([X^m; H_K^m] of all modalities side by side))); focal loss.

The paper writes update, forget and output gates before the convolution; this is the released code, an LSTM cell.

Departures from the released code, and why:

- Both GRUs read packed sequences; there a party's sequence is padded to the dialogue's length, and its backward
  direction starts in padding.
- Each party of each dialogue is a row of one GRU call; there a loop runs over slots, 9 for MELD.
- A modality whose weight is 0 is not read by the party's GRU; there it is, for nothing.
- Class weights are counted on the training dialogues and scaled to a mean of 1; there they are constants of IEMOCAP,
  1 / frequency.
- Training stops when the score has stood still for some epochs; there when the loss has too.
- The seed is set once a training, not every epoch.
- An absent modality is a learned vector, random at first, for a vector of zeros has no angle to any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bigfusion.model.data.batch import Batch, Dialogue
from bigfusion.model.data.utterances import Utterances
from bigfusion.model.layers.class_weights import ClassWeights
from bigfusion.model.layers.fusion import Projections
from bigfusion.model.layers.modal_graph import GCN2Stack, modal_graph
from bigfusion.model.layers.objectives import focal_loss
from bigfusion.model.layers.recurrence import over_dialogues
from bigfusion.model.layers.relative import speaker_groups
from bigfusion.model.network_settings.mm_dfn import MMDFNSettings
from bigfusion.model.networks.base import Network, Output, Part
from bigfusion.pipeline.schema import Modality


class MMDFN(Network):
    """The network. Output: ``representations`` ``graph``, [X; H_K] of all modalities (B, N, M (D + D_graph))."""

    def __init__(self, settings: MMDFNSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        width, graph_width, dropout = settings.width, settings.graph_width, settings.dropout
        self.gamma = settings.gamma
        weights = {
            Modality.TEXT: settings.text_speaker,
            Modality.AUDIO: settings.audio_speaker,
            Modality.VISUAL: settings.visual_speaker,
        }
        self.speaker_weights = {str(name): weights[Modality(name)] for name in self.widths if weights[Modality(name)]}
        self.projections = Projections(self.widths, width)
        for absent in self.projections.absent.values():
            nn.init.normal_(absent, std=0.1)
        self.text = _two_layers(width, dropout) if Modality.TEXT in self.widths else None
        self.party = _two_layers(width, dropout) if self.speaker_weights else None
        self.dropout = nn.Dropout(dropout)
        self.reduce = nn.Sequential(nn.Linear(width, graph_width), nn.ReLU())
        self.fusion = GCN2Stack(graph_width, settings.layers, settings.alpha, settings.decay, dropout, settings.gate)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.ReLU(), nn.Linear(len(self.widths) * (width + graph_width), classes)
        )
        self.class_weights = ClassWeights(classes, settings.class_weights)

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Also count the classes."""
        super().fit(dialogues)
        self.class_weights.fit(dialogues)

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        own = self.projections(utterances.features, utterances.present)  # x^m (V, D) each
        contexts = dict(own)
        if self.text is not None:
            contexts[Modality.TEXT] = over_dialogues(self.text, own[Modality.TEXT], utterances)
        if self.party is not None:
            read = over_parties(self.party, torch.stack([own[name] for name in self.speaker_weights]), utterances)
            for (name, weight), states in zip(self.speaker_weights.items(), read, strict=True):
                contexts[name] = contexts[name] + weight * states
        stacked = torch.stack(list(contexts.values()), dim=1)  # (V, M, D)
        graph = modal_graph(stacked, batch.mask[:, : int(utterances.lengths.max())])
        nodes = self.dropout(stacked)
        hidden = self.fusion(self.reduce(nodes), graph)
        joined = torch.cat([nodes, hidden], dim=-1).flatten(1)  # (V, M (D + D_graph))
        return Output(utterances.rows(self.classifier(joined)), representations={"graph": utterances.rows(joined)})

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """The focal loss, in cross-entropy's place."""
        value = focal_loss(output.logits, batch, self.gamma, smoothing, self.class_weights())
        return {"cross_entropy": Part(value)}


def over_parties(recurrent: nn.GRU, inputs: Tensor, utterances: Utterances) -> Tensor:
    """A GRU over each party's own utterances, for S kinds of input alike. Shapes: (S, V, D) -> (S, V, D')."""
    group = speaker_groups(utterances.dialogue, utterances.speaker)
    order = group.argsort(stable=True)  # party after party, each in the dialogue's order
    _, party, lengths = torch.unique_consecutive(group[order], return_inverse=True, return_counts=True)  # (V,), (G,)
    starts = lengths.cumsum(0) - lengths
    place = torch.arange(len(order), device=order.device) - starts[party]  # (V,) within the party's own
    sequences = inputs.new_zeros(len(inputs), len(lengths), int(lengths.max()), inputs.shape[-1])
    sequences = sequences.index_put(
        (torch.arange(len(inputs), device=order.device).unsqueeze(1), party, place), inputs[:, order]
    )
    packed = pack_padded_sequence(
        sequences.flatten(0, 1), lengths.repeat(len(inputs)).cpu(), batch_first=True, enforce_sorted=False
    )
    states = pad_packed_sequence(recurrent(packed)[0], batch_first=True)[0]  # (S G, L, D')
    states = states.view(len(inputs), len(lengths), *states.shape[1:])[:, party, place]  # (S, V, D'), by party
    return states[:, order.argsort()]


def _two_layers(width: int, dropout: float) -> nn.GRU:
    return nn.GRU(width, width // 2, num_layers=2, batch_first=True, bidirectional=True, dropout=dropout)


NETWORK = MMDFN
