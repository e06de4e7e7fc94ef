"""MVN-like: the multi-view network (Ma et al., Knowledge-Based Systems 236, 2022, 107751) on modality tokens.

The original reads words alone. Here the tokens of an utterance are its M modalities, each Linear -> D plus a vector of
the modality's own; the word encoder falls away. Its equations stay. For utterance i with tokens Q (M, D), the tokens X
(K M, D) and vectors m (K, D) of its last K utterances:

- Att(q, k, v) = LN(x + dropout(FF(x))), x = LN(q + softmax(q W_q (k W_k)^T / sqrt(D)) v W_v), one norm in both places;
  Gate(a, b) = z a + (1 - z) b, z = sigmoid(A a + B b).
- Word view: r_Q = drop max over tokens of Gate_1(Att_1(Q, Q, Q), Att_2(Q, X, X)), r_X that of Gate_1(Att_1(X, X, X),
  Att_2(X, Q, Q)); Gate_2(r_Q, r_X).
- Utterance view: u = drop max over tokens; bank = m + both directions of a GRU over m; c = softmax(u . bank) bank;
  Gate_3(u, c).
- Each view has a head, Linear, tanh, dropout, Linear; the output is the sum of both log-softmaxes, the loss the sum of
  both cross-entropies.

It is causal and does not ask who speaks.

Departures from the released code, and why:

- Tokens, as said: a store holds no words. It gains audio and the picture over the original.
- Where there is no earlier utterance, each gate gives its first argument. There the first utterance alone does so, and
  the memory of the next K - 1 is padded with zeros that the GRU runs over: their classes depend on K.
- Padded tokens are masked; there max-pooling overwrites them with -1e10, which later products read.
- Class weights have mean 1 over the training labels; there they sum to 1.
- The rate does not fall at a standstill: the trainer has no such schedule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bigfusion.model.data.batch import Batch, Dialogue
from bigfusion.model.layers.class_weights import ClassWeights
from bigfusion.model.layers.fusion import Projections
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.network_settings.mvn import MVNSettings
from bigfusion.model.networks.base import Network, Output, Part

SOME = 32
"""Windows whose tokens are read at a time: all at once no cache holds them, and most would be padding."""


class AttentionBlock(nn.Module):
    """Att. Tokens are mapped before they are gathered into windows: one token is in up to K of them."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.Dropout(dropout)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.dropout = dropout

    def forward(self, inputs: Tensor, query: Tensor, key: Tensor, value: Tensor, real: Tensor | None = None) -> Tensor:
        """``inputs`` read others; query, key and value are mapped already.

        Shapes: inputs, query (V, L, D), key, value (V, S, D), ``real`` (V, S) bool with one True at least -> (V, L, D).
        """
        attended = scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if real is None else real.unsqueeze(1),
            dropout_p=self.dropout if self.training else 0.0,
        )
        hidden = self.norm(inputs + attended)
        output: Tensor = self.norm(hidden + self.feed_forward(hidden))
        return output


class Gate(nn.Module):
    """z a + (1 - z) b, z = sigmoid(A a + B b) for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width, bias=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Mix two tensors of one shape."""
        share = torch.sigmoid(self.first(first) + self.second(second))
        return share * first + (1 - share) * second


@dataclass(frozen=True)
class Windows:
    """The utterances before each, of those that have any.

    Shapes: ``owner`` (W,) the utterances with earlier ones; ``places`` (W, K) the last K before each in their order,
    behind them padding; ``real`` (W, K) bool.
    """

    owner: Tensor
    places: Tensor
    real: Tensor

    def some_at_a_time(self) -> Iterator[Windows]:
        """All windows, the shortest first, ``SOME`` at a time, each time as wide as the longest of them."""
        count = self.real.sum(1)
        for chosen in torch.split(count.argsort(stable=True), SOME):
            width = int(count[chosen].max())
            yield Windows(self.owner[chosen], self.places[chosen, :width], self.real[chosen, :width])

    def gather(self, rows: Tensor) -> Tensor:
        """The tokens in each window, utterance after utterance. Shapes: (V, M, D) -> (W, K M, D)."""
        found = rows.index_select(0, self.places.flatten())
        return found.view(len(self.owner), -1, rows.shape[-1])


def windows(dialogue: Tensor, size: int) -> Windows:
    """The last ``size`` utterances before each in its dialogue. Shape: (V,), the dialogue of each, in order."""
    place = torch.arange(len(dialogue), device=dialogue.device)
    first = torch.searchsorted(dialogue, dialogue)  # (V,): where its dialogue starts
    count = (place - first).clamp(max=size)
    owner = count.nonzero().flatten()
    steps = torch.arange(int(count.max()) if len(count) else 0, device=dialogue.device)
    real = steps < count[owner].unsqueeze(1)
    places = (owner - count[owner]).unsqueeze(1) + steps
    return Windows(owner, torch.where(real, places, owner.unsqueeze(1)), real)


class WordView(nn.Module):
    """Shapes: tokens (V, M, D) -> (V, D)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.within = AttentionBlock(width, dropout)
        self.across = AttentionBlock(width, dropout)
        self.tokens_gate = Gate(width)
        self.gate = Gate(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, near: Windows) -> Tensor:
        """What each utterance's tokens are among those of its window."""
        within = [layer(tokens) for layer in (self.within.query, self.within.key, self.within.value)]  # (V, M, D) each
        own = self.within(tokens, *within)
        alone: Tensor = self.dropout(own.amax(1))
        if not len(near.owner):
            return alone
        across = [layer(tokens) for layer in (self.across.query, self.across.key, self.across.value)]
        parts = list(near.some_at_a_time())
        found = torch.cat([self._among(tokens, own, within, across, part) for part in parts])
        return alone.index_copy(0, torch.cat([part.owner for part in parts]), found.to(alone.dtype))

    def _among(
        self, tokens: Tensor, own: Tensor, within: Sequence[Tensor], across: Sequence[Tensor], near: Windows
    ) -> Tensor:
        """Those of some windows. Shapes: (V, M, D) each -> (W, D)."""
        query, *asking = (rows[near.owner] for rows in (tokens, *across))  # (W, M, D)
        context, *inside = (near.gather(rows) for rows in (tokens, *within))  # (W, K M, D)
        asked_by, *answering = (near.gather(rows) for rows in across)
        real = near.real.repeat_interleave(tokens.shape[1], dim=1)  # (W, K M)
        asked = self.across(query, asking[0], *answering, real)
        asked = self.dropout(self.tokens_gate(own[near.owner], asked).amax(1))
        answers = self.tokens_gate(self.within(context, *inside, real), self.across(context, asked_by, *asking[1:]))
        lowest = torch.finfo(answers.dtype).min
        answered = self.dropout(answers.masked_fill(~real.unsqueeze(2), lowest).amax(1))
        mixed: Tensor = self.gate(asked, answered)
        return mixed


class UtteranceView(nn.Module):
    """Shapes: utterances (V, D) -> (V, D)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.memory = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.gate = Gate(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, utterances: Tensor, near: Windows) -> Tensor:
        """What each utterance is beside its memory."""
        if not len(near.owner):
            return utterances
        query, memory = utterances[near.owner], utterances[near.places]  # (W, D), (W, K, D)
        packed = pack_padded_sequence(memory, near.real.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.memory(packed)[0], batch_first=True)  # (W, K, 2D)
        forward, backward = states.chunk(2, dim=-1)
        bank = self.dropout(memory + forward + backward)
        scores = torch.bmm(bank, query.unsqueeze(2)).squeeze(2)  # (W, K)
        weights = scores.masked_fill(~near.real, -math.inf).softmax(-1)
        context = self.dropout(torch.bmm(weights.unsqueeze(1), bank).squeeze(1))
        return utterances.index_copy(0, near.owner, self.gate(query, context).to(utterances.dtype))


class MVN(Network):
    """The network. Output: ``representations`` ``words`` and ``utterances``, of the views (B, N, D); ``parts`` hold
    the views' own logits (B, N, C) by these names.
    """

    causal = True

    def __init__(self, settings: MVNSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        width, dropout = settings.width, settings.dropout
        self.window = settings.window
        self.projections = Projections(self.widths, width)
        self.modality = nn.Parameter(torch.randn(len(self.widths), width) / math.sqrt(width))
        self.dropout = nn.Dropout(dropout)
        self.words = WordView(width, dropout)
        self.utterances = UtteranceView(width, dropout)
        self.words_head = _head(width, dropout, classes)
        self.utterances_head = _head(width, dropout, classes)
        self.class_weights = ClassWeights(classes, settings.class_weights)

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Also count the classes."""
        super().fit(dialogues)
        self.class_weights.fit(dialogues)

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        projected = self.projections(utterances.features, utterances.present)
        tokens = self.dropout(torch.stack(list(projected.values()), dim=1) + self.modality)  # (V, M, D)
        near = windows(utterances.dialogue, self.window)
        words = self.words(tokens, near)  # (V, D)
        vectors = self.utterances(self.dropout(tokens.amax(1)), near)
        logits = self.words_head(words), self.utterances_head(vectors)
        summed = sum(view.log_softmax(-1) for view in logits)
        parts = {name: utterances.rows(view) for name, view in zip(("words", "utterances"), logits, strict=True)}
        representations = {"words": utterances.rows(words), "utterances": utterances.rows(vectors)}
        return Output(utterances.rows(summed), parts, representations=representations)

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """The sum of both views' cross-entropies, weighted by class."""
        weights = self.class_weights()
        views = [classification_loss(logits, batch, smoothing, weights) for logits in output.parts.values()]
        return {"cross_entropy": Part(torch.stack(views).sum())}


def _head(width: int, dropout: float, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width // 2), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width // 2, classes))


NETWORK = MVN
