"""AdaIGN, content policies (after Tu et al., AAAI 2024): which utterances and which context count is chosen.

The published code was withdrawn by its authors, and its policies belong to positions counted from the end of a padded
batch: there "adaptive" means per position. Here they read the utterance: say "AdaIGN, content policies" of its figures.

- x_m = Linear(features of m), text through a LayerNorm; e = speaker embedding;
- policies, from 0 to 1: node p_m = MLP([x_m; e]) of audio and visual, text being always kept; context c_m = MLP([x_m;
  e]), how much an utterance hears its own speaker (1) or the others (0); graph g = MLP(mean of [x_m] so far);
- two branches, original and selected, with weights of their own: Linear(x_m) (selected: of p_m x_m), text through a
  two-layer BiGRU; as released for MELD, a shared BiGRU over each speaker's own utterances is added, weighed 0.5 (text
  1.5) and, selected, by p_m;
- graph: within a modality j <= i, A_ij = (1 - arccos(0.99999 cos(x_i, x_j)) / pi) m_ij; between modalities the same
  utterance. m is 1 in the original branch, c_i for the same speaker and 1 - c_i for others in the selected one;
- GCNII (``layers.modal_graph``) from H_0 = ReLU(Linear(dropout x));
- logits = Linear(ReLU(drop [g G_o + (1 - g) G_n; X_o])), G the graph's and X the branch's states, text times 0.8, audio
  and visual times 0.1.

Training draws policies from a Gumbel-softmax whose temperature falls from 5; evaluation takes their expectation.
Loss = focal + 0.6 (-log keep) + 0.1 (-log drop) of audio, visual and the original graph + 0.9 (-log own) + 0.2 (-log
others) of the contexts.

Departures from the released code, and why:

- Policies as above; there are no logits per slot of a batch. The terms that tie slots to each other fall away.
- Penalties are means over utterances and policies; there sums over 32 slots, which dwarf the focal loss.
- Evaluation is deterministic; there policies are drawn with a seed that is reset.
- The graph's policy reads the dialogue so far, not all of it: without recurrence no utterance sees a later one.
- Weights and policies are learnt in the same steps; there in turns of an epoch, with optimizers of their own.
- Pseudo labels, which force policies and need seven more trained networks run on the test data, are left out (MELD ran
  without).
- One text vector instead of four layers of RoBERTa; x_m has the branches' width, for the code's maps of audio and
  visual to their own width have no activation behind them and merge with the next.
- The rate is constant; there it is multiplied by 0.6 after epochs 25, 40 and 50, that of the policies by 0.8.
- Class weights are counted on the training labels and scaled to a mean of 1; there they are 1 / frequency, and the
  focal loss is as much larger beside penalties and decay.
- A zero vector is at a right angle to all; there it divides by zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gumbel_softmax

from bigfusion.model.data.batch import Batch, Dialogue
from bigfusion.model.data.utterances import Utterances
from bigfusion.model.layers.class_weights import ClassWeights
from bigfusion.model.layers.fusion import Projections
from bigfusion.model.layers.modal_graph import GCN2Stack, ModalGraph, angular_weights, normalised
from bigfusion.model.layers.objectives import focal_loss
from bigfusion.model.layers.recurrence import over_dialogues
from bigfusion.model.network_settings.adaign import AdaIGNSettings
from bigfusion.model.networks.base import Network, Output, Part
from bigfusion.model.networks.mm_dfn import over_parties
from bigfusion.pipeline.schema import Modality

PARTY = {Modality.TEXT: 1.5, Modality.AUDIO: 0.5, Modality.VISUAL: 0.5}
"""Weights of a speaker's own utterances."""


def _two_layers(width: int, dropout: float) -> nn.GRU:
    return nn.GRU(width, width // 2, num_layers=2, batch_first=True, bidirectional=True, dropout=dropout)


def _policy(inputs: int, width: int) -> nn.Sequential:
    """Two logits: keep, drop."""
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 2))


def directed_graph(nodes: Tensor, mask: Tensor, same: Tensor, context: Tensor | None) -> ModalGraph:
    """The graph of a branch, the past alone being heard.

    Shapes: nodes (V, M, D), mask (B, N), same (B, N, N): whether i and j have the same speaker, context (V, M): how
    much the own speaker is heard; None: all alike.
    """
    within, across = angular_weights(nodes, mask)
    within = within.tril()  # [b, m, i, j]: j <= i
    if context is not None:
        own = context.new_zeros(*mask.shape, context.shape[1])
        own = own.masked_scatter(mask.unsqueeze(-1), context).transpose(1, 2).unsqueeze(3)  # (B, M, N, 1)
        within = within * torch.where(same.unsqueeze(1), own, 1 - own)
    return normalised(within, across, mask)


def mean_so_far(packed: Tensor, utterances: Utterances) -> Tensor:
    """Means over each dialogue's utterances up to each. Shapes: (V, D) -> (V, D)."""
    rows = utterances.rows(packed)
    count = torch.arange(1, rows.shape[1] + 1, device=rows.device).unsqueeze(1)
    return utterances.packed(rows.cumsum(1) / count)


class Branch(nn.Module):
    """Maps, recurrence and graph convolution of one branch. Shapes: (V, D) a modality -> X (V, M, D), G (V, M, K)."""

    def __init__(self, settings: AdaIGNSettings, names: Sequence[str]) -> None:
        super().__init__()
        width, graph_width, dropout = settings.width, settings.graph_width, settings.dropout
        self.maps = nn.ModuleDict({name: nn.Linear(width, width) for name in names})
        self.gru = _two_layers(width, dropout) if settings.recurrence and Modality.TEXT in names else None
        self.dropout = nn.Dropout(dropout)
        self.reduce = nn.Sequential(nn.Linear(width, graph_width), nn.ReLU())
        self.convolutions = GCN2Stack(graph_width, settings.layers, settings.alpha, settings.decay, dropout)

    def encode(self, inputs: Mapping[str, Tensor], utterances: Utterances) -> dict[str, Tensor]:
        """Map, and read the text in both directions."""
        encoded = {name: self.maps[name](rows) for name, rows in inputs.items()}
        if self.gru is not None:
            encoded[Modality.TEXT] = over_dialogues(self.gru, encoded[Modality.TEXT], utterances)
        return encoded

    def forward(self, nodes: Tensor, graph: ModalGraph) -> Tensor:
        """Convolve."""
        hidden: Tensor = self.convolutions(self.reduce(self.dropout(nodes)), graph)
        return hidden


class AdaIGN(Network):
    """The network. Output: ``parts["policies"]``: two logits (V, 2) of each, by ``node``, ``context``, ``graph``.

    ``representations`` ``graph``: the mixture of both branches.
    """

    numbered_speakers = True

    def __init__(self, settings: AdaIGNSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.settings = settings
        self.causal = not (settings.recurrence or settings.party)
        width, names = settings.width, list(self.widths)
        self.temperature = settings.temperature
        self.class_weights = ClassWeights(classes, settings.class_weights)
        self.project = Projections(self.widths, width)
        for absent in self.project.absent.values():
            nn.init.normal_(absent, std=0.1)  # a vector of zeros has no angle to any
        self.norm = nn.LayerNorm(width) if Modality.TEXT in self.widths else nn.Identity()
        self.speaker = nn.Embedding(settings.speakers, settings.speaker_width)
        seen = width + settings.speaker_width
        self.node = nn.ModuleDict({name: _policy(seen, width) for name in names if name != Modality.TEXT})
        self.context = nn.ModuleDict({name: _policy(seen, width) for name in names})
        self.graph = _policy(len(names) * width, width)
        self.party = _two_layers(width, settings.dropout) if settings.party else None
        self.original, self.selected = Branch(settings, names), Branch(settings, names)
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(len(names) * (width + settings.graph_width), classes)
        shares = [settings.text_share if name == Modality.TEXT else settings.other_share for name in names]
        self.register_buffer("shares", torch.tensor(shares).unsqueeze(1), persistent=False)  # (M, 1)

    shares: Tensor

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Also count the classes."""
        super().fit(dialogues)
        self.class_weights.fit(dialogues)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Cool the draws."""
        self.temperature = self.settings.temperature * self.settings.cooling ** (epoch - 1)

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        inputs = self.project(utterances.features, utterances.present)  # (V, D) each
        if Modality.TEXT in inputs:
            inputs[Modality.TEXT] = self.norm(inputs[Modality.TEXT])
        policies = self._policies(inputs, utterances)
        chosen = {name: self._choose(logits) for name, logits in policies["node"].items()}  # (V,) each
        context = torch.stack([self._choose(logits) for logits in policies["context"].values()], dim=1)  # (V, M)
        original, selected = self._branches(inputs, chosen, utterances)  # (V, M, D) each
        mask = batch.mask[:, : int(utterances.lengths.max())]
        speakers = batch.speakers[:, : mask.shape[1]]
        same = speakers.unsqueeze(1) == speakers.unsqueeze(2)
        whole = self.original(original, directed_graph(original, mask, same, None))  # (V, M, K)
        part = self.selected(selected, directed_graph(selected, mask, same, context))
        return self._classify(original, whole, part, policies, utterances)

    def _classify(
        self,
        nodes: Tensor,
        whole: Tensor,
        part: Tensor,
        policies: Mapping[str, Mapping[str, Tensor]],
        utterances: Utterances,
    ) -> Output:
        """Mix both branches' graphs. Shapes: nodes (V, M, D), whole, part (V, M, K)."""
        mixture = self._choose(policies["graph"]["original"])[:, None, None]
        mixed = ((mixture * whole + (1 - mixture) * part) * self.shares).flatten(1)
        joined = torch.cat([mixed, (nodes * self.shares).flatten(1)], dim=1)
        logits = self.classifier(self.dropout(joined).relu())
        rows = utterances.rows
        return Output(rows(logits), {"policies": policies}, representations={"graph": rows(mixed)})

    def _policies(self, inputs: Mapping[str, Tensor], utterances: Utterances) -> dict[str, dict[str, Tensor]]:
        """Two logits (V, 2) of each."""
        speaker = self.speaker(utterances.speaker.clamp(max=self.settings.speakers - 1))
        seen = {name: torch.cat([rows, speaker], dim=-1) for name, rows in inputs.items()}
        so_far = mean_so_far(torch.cat(list(inputs.values()), dim=-1), utterances)
        return {
            "node": {name: policy(seen[name]) for name, policy in self.node.items()},
            "context": {name: policy(seen[name]) for name, policy in self.context.items()},
            "graph": {"original": self.graph(so_far)},
        }

    def _choose(self, logits: Tensor) -> Tensor:
        """How much is kept: drawn in training, else expected. Shapes: (V, 2) -> (V,)."""
        if self.training and self.settings.gumbel:
            return gumbel_softmax(logits, self.temperature)[:, 0]
        return logits.softmax(-1)[:, 0]

    def _branches(
        self, inputs: Mapping[str, Tensor], chosen: Mapping[str, Tensor], utterances: Utterances
    ) -> tuple[Tensor, Tensor]:
        """Both branches' nodes. Shape: (V, M, D) each."""
        kept = {name: rows * chosen[name].unsqueeze(1) if name in chosen else rows for name, rows in inputs.items()}
        original, selected = self.original.encode(inputs, utterances), self.selected.encode(kept, utterances)
        if self.party is not None:
            read = over_parties(self.party, torch.stack(list(inputs.values())), utterances)  # (M, V, D)
            for name, states in zip(inputs, read, strict=True):
                weighed = PARTY[Modality(name)] * states
                original[name] = original[name] + weighed
                selected[name] = selected[name] + (weighed * chosen[name].unsqueeze(1) if name in chosen else weighed)
        return torch.stack(list(original.values()), dim=1), torch.stack(list(selected.values()), dim=1)

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """The focal loss, in cross-entropy's place, and the policies' penalties."""
        settings, policies = self.settings, output.parts["policies"]
        focal = focal_loss(output.logits, batch, settings.gamma, smoothing, self.class_weights())
        keep, drop = _penalties([*policies["node"].values(), *policies["graph"].values()])
        own, others = _penalties(list(policies["context"].values()))
        penalty = settings.maintain * keep + settings.drop * drop + settings.important * own
        return {"cross_entropy": Part(focal), "policies": Part(penalty + settings.unimportant * others, "nodes")}


def _penalties(logits: Sequence[Tensor]) -> Tensor:
    """Mean -log probability of keeping and of dropping. Shapes: (V, 2) each -> (2,)."""
    stacked = torch.stack(list(logits))
    precise = stacked.to(torch.promote_types(stacked.dtype, torch.float32))
    return -precise.log_softmax(-1).mean((0, 1))


NETWORK = AdaIGN
