"""SCMM (Yang et al., Findings of ACL 2023, pages 6267-6281), reconstructed from its abstract.

Neither the paper's text nor any code was at hand. The abstract gives the plan: three ranges of context, three ways in
which modalities interact, and a selection among the three in each. Equations, sizes, losses and training are this
project's own. A report has to say "SCMM (reconstructed from its abstract)".

- x^m = Linear(utterance) + the speaker's embedding, for each modality.
- Context, each modality with weights of its own: long, a Transformer layer over the dialogue; short, a BiGRU, or
  attention within +-5 utterances; independent, LayerNorm(Linear(x)).
- Selection: pi = softmax_k(q_c . z_k / sqrt(D)) with a learned q_c for each modality, h^m = sum_k pi_k z_k; or one z_k,
  by straight-through Gumbel in training and the largest in evaluation.
- Interaction: full, the mean of the modalities' tokens after self-attention; partial, Linear of the products of all
  pairs; biased, text leads: h^t + sum_m sigmoid(Linear([h^t; h^m])) W_m h^m.
- Selection with q_m among these; logits = Linear(dropout(ReLU(Linear))).

Without text the first modality leads; with one modality alone, partial is Linear of it and biased is itself.
``representations`` hold the selections pi, for a selection may collapse onto one path.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import gumbel_softmax, one_hot

from bigfusion.model.data.batch import Batch
from bigfusion.model.data.utterances import Utterances
from bigfusion.model.layers.fusion import Projections
from bigfusion.model.layers.recurrence import over_dialogues
from bigfusion.model.network_settings.scmm import SCMMSettings
from bigfusion.model.networks.base import Network, Output
from bigfusion.pipeline.schema import Modality


class Selection(nn.Module):
    """Weighs K paths by a learned query. Shapes: (V, K, D) -> (V, D), weights (V, K)."""

    def __init__(self, width: int, hard: bool) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(width))
        self.hard = hard

    def forward(self, paths: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the paths, or take one."""
        scores = paths @ self.query / math.sqrt(paths.shape[-1])  # (V, K)
        if not self.hard:
            weights = scores.softmax(-1)
        elif self.training:
            weights = gumbel_softmax(scores, tau=1.0, hard=True)
        else:
            weights = one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)
        return (weights.unsqueeze(-1) * paths).sum(1), weights


class LongPath(nn.Module):
    """A Transformer layer over the dialogue, or over ``window`` utterances to either side. Shapes: (V, D) -> (V, D)."""

    def __init__(self, settings: SCMMSettings, window: int | None = None) -> None:
        super().__init__()
        self.window, self.heads = window, settings.heads
        self.layer = nn.TransformerEncoderLayer(
            settings.width, settings.heads, settings.feed_forward, settings.dropout, batch_first=True
        )

    def forward(self, packed: Tensor, utterances: Utterances) -> Tensor:
        """Read the dialogues' utterances."""
        place = torch.arange(utterances.mask.shape[1], device=packed.device)
        seen = utterances.mask.unsqueeze(1)  # (B, 1, N)
        if self.window is not None:
            seen = seen & ((place.unsqueeze(1) - place).abs() <= self.window)
        seen = seen | (place.unsqueeze(1) == place)  # padding sees itself: a softmax over nothing is NaN
        hidden = ~seen.repeat_interleave(self.heads, dim=0)  # (B H, N, N)
        return utterances.packed(self.layer(utterances.rows(packed), src_mask=hidden))


class ShortPath(nn.Module):
    """A BiGRU over the dialogue. Shapes: (V, D) -> (V, D)."""

    def __init__(self, settings: SCMMSettings) -> None:
        super().__init__()
        self.gru = nn.GRU(settings.width, settings.width // 2, batch_first=True, bidirectional=True)

    def forward(self, packed: Tensor, utterances: Utterances) -> Tensor:
        """Read the dialogues' utterances."""
        return over_dialogues(self.gru, packed, utterances)


class IndependentPath(nn.Module):
    """Each utterance alone. Shapes: (V, D) -> (V, D)."""

    def __init__(self, settings: SCMMSettings) -> None:
        super().__init__()
        self.map = nn.Sequential(nn.Linear(settings.width, settings.width), nn.LayerNorm(settings.width))

    def forward(self, packed: Tensor, utterances: Utterances) -> Tensor:
        """Read the utterances."""
        del utterances
        found: Tensor = self.map(packed)
        return found


class Context(nn.Module):
    """One modality's context. Shapes: (V, D) -> (V, D), weights (V, K)."""

    def __init__(self, settings: SCMMSettings) -> None:
        super().__init__()
        short = ShortPath(settings) if settings.short == "gru" else LongPath(settings, settings.short_window)
        paths = {"long": LongPath(settings), "short": short, "independent": IndependentPath(settings)}
        adaptive = settings.context == "adaptive"
        self.paths = nn.ModuleList(paths.values() if adaptive else [paths[settings.context]])
        self.select = Selection(settings.width, settings.hard) if adaptive else None

    def forward(self, packed: Tensor, utterances: Utterances) -> tuple[Tensor, Tensor]:
        """Read one modality of the dialogues."""
        found = torch.stack([path(packed, utterances) for path in self.paths], dim=1)  # (V, K, D)
        return _selected(self.select, found)


class Full(nn.Module):
    """Self-attention among an utterance's modalities, and their mean. Shapes: (V, M, D) -> (V, D)."""

    def __init__(self, settings: SCMMSettings, names: tuple[str, ...]) -> None:
        super().__init__()
        del names
        self.attention = nn.MultiheadAttention(settings.width, settings.heads, settings.dropout, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Let all modalities meet."""
        attended: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return attended.mean(1)


class Partial(nn.Module):
    """The products of all pairs of modalities. Shapes: (V, M, D) -> (V, D)."""

    def __init__(self, settings: SCMMSettings, names: tuple[str, ...]) -> None:
        super().__init__()
        self.pairs = list(itertools.combinations(range(len(names)), 2))
        self.map = nn.Linear(max(len(self.pairs), 1) * settings.width, settings.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Let modalities meet two by two."""
        products = [tokens[:, one] * tokens[:, other] for one, other in self.pairs] or [tokens[:, 0]]
        found: Tensor = self.map(torch.cat(products, dim=-1))
        return found


class Biased(nn.Module):
    """One modality leads, the others are let in through gates. Shapes: (V, M, D) -> (V, D)."""

    def __init__(self, settings: SCMMSettings, names: tuple[str, ...]) -> None:
        super().__init__()
        self.leader = names.index(Modality.TEXT) if Modality.TEXT in names else 0
        self.others = [index for index in range(len(names)) if index != self.leader]
        width = settings.width
        self.gates = nn.ModuleList(nn.Linear(2 * width, width) for _ in self.others)
        self.maps = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in self.others)

    def forward(self, tokens: Tensor) -> Tensor:
        """Let the others in."""
        leader = tokens[:, self.leader]
        output = leader
        for index, gate, map_ in zip(self.others, self.gates, self.maps, strict=True):
            share = torch.sigmoid(gate(torch.cat([leader, tokens[:, index]], dim=-1)))
            output = output + share * map_(tokens[:, index])
        return output


INTERACTIONS = {"full": Full, "partial": Partial, "biased": Biased}


class SCMM(Network):
    """The network.

    Output: ``representations`` ``fusion``, what is classified (B, N, D); ``context_paths`` (B, N, 3 M) and
    ``interaction_paths`` (B, N, 3), the weights of long, short and independent for each modality, and of full, partial
    and biased.
    """

    def __init__(self, settings: SCMMSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.causal = settings.context == "independent"
        self.numbered_speakers = True
        width, names = settings.width, tuple(self.widths)
        self.projections = Projections(self.widths, width)
        self.speakers = nn.Embedding(settings.speakers, width)
        self.contexts = nn.ModuleDict({name: Context(settings) for name in names})
        adaptive = settings.interaction == "adaptive"
        kinds = INTERACTIONS.values() if adaptive else [INTERACTIONS[settings.interaction]]
        self.interactions = nn.ModuleList(kind(settings, names) for kind in kinds)
        self.select = Selection(width, settings.hard) if adaptive else None
        self.classifier = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(settings.dropout), nn.Linear(width, classes)
        )

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        speaker = self.speakers(utterances.speaker.clamp(max=self.speakers.num_embeddings - 1))  # (V, D)
        projected = self.projections(utterances.features, utterances.present)
        read = [self.contexts[name](rows + speaker, utterances) for name, rows in projected.items()]
        tokens = torch.stack([rows for rows, _ in read], dim=1)  # (V, M, D)
        met = torch.stack([interaction(tokens) for interaction in self.interactions], dim=1)  # (V, K, D)
        fused, ways = _selected(self.select, met)
        representations = {
            "fusion": fused,
            "context_paths": torch.cat([weights for _, weights in read], dim=1),
            "interaction_paths": ways,
        }
        rows = {name: utterances.rows(value) for name, value in representations.items()}
        return Output(utterances.rows(self.classifier(fused)), representations=rows)


def _selected(select: Selection | None, paths: Tensor) -> tuple[Tensor, Tensor]:
    """The selection, or the only path, with the paths' weights. Shapes: (V, K, D) -> (V, D), (V, K)."""
    if select is None:
        return paths[:, 0], paths.new_ones(len(paths), 1)
    found: tuple[Tensor, Tensor] = select(paths)
    return found


NETWORK = SCMM
