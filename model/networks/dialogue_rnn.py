"""DialogueRNN (Majumder et al., AAAI 2019, arXiv 1811.00405): the dialogue, its parties and the emotion as states.

With u_i the features of utterance i side by side, s its speaker, q_s that party's state before it, all states starting
at zero:

- g_i = GRU_G([u_i; q_s], g_{i-1}), the dialogue;
- c_i = sum_{j<i} alpha_j g_j, alpha = softmax_j(g_j . W u_i), the context; c_1 = 0;
- q'_s = GRU_P([u_i; c_i], q_s), the speaker; other parties stay as they are, or with ``listener`` become
  GRU_L([u_i; q'_s], q_p);
- e_i = GRU_E(q'_s, e_{i-1}), the emotion.

Dropout falls on each new state, which is carried on dropped. Two-way, E_i = [e_i; e_i of a second cell that reads the
dialogue backwards]. With ``attention``, A_i = sum_j beta_j E_j, beta = softmax_j(E_j . (W_2 E_i + b_2)) over the whole
dialogue; logits = Linear(ReLU(Linear(A_i))).

Departures from the released code, and why:

- The backward cell starts at each dialogue's last real utterance; there it may start in padding, and the classes of an
  utterance depend on its batch.
- A party is a row of q for each speaker of the batch's dialogues, by number within the dialogue; there are 2 or 9
  slots there. No number is read otherwise, so it is the same function.
- The one-way form works; there it fails on a tuple.
- Class weights are counted on the training dialogues, and the loss is divided by the number of utterances; there they
  are constants of IEMOCAP, and it is divided by the sum of the weights in the batch.
- The listener follows the released code, not the paper, whose listener reads the visual cue.
- An absent modality is a learned vector; there all are present.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, scaled_dot_product_attention

from bigfusion.model.data.batch import Batch, Dialogue
from bigfusion.model.layers.class_weights import ClassWeights
from bigfusion.model.layers.fusion import Joined
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.layers.recurrence import PartlyKnown, Steps
from bigfusion.model.network_settings.dialogue_rnn import DialogueRNNSettings
from bigfusion.model.networks.base import Network, Output, Part


@dataclass(frozen=True)
class Followed:
    """The states after each utterance, packed.

    Shapes: ``emotion`` e_i (V, D_e); ``dialogue`` g_i and ``context`` c_i (V, D_g); ``before`` and ``party``, the
    speaker's state before and after it, (V, D_p).
    """

    emotion: Tensor
    dialogue: Tensor
    context: Tensor
    before: Tensor
    party: Tensor


class DialogueCell(nn.Module):
    """One direction. Shapes: utterances (V, F), packed; speakers (V,) int."""

    def __init__(self, width: int, settings: DialogueRNNSettings) -> None:
        super().__init__()
        self.dialogue = nn.GRUCell(width + settings.party_width, settings.global_width)
        self.party = nn.GRUCell(width + settings.global_width, settings.party_width)
        self.listener: nn.GRUCell | None = None
        if settings.listener:
            self.listener = nn.GRUCell(width + settings.party_width, settings.party_width)
        self.emotion = nn.GRUCell(settings.party_width, settings.emotion_width)
        self.attend = nn.Linear(width, settings.global_width, bias=False)
        self.dropout = nn.Dropout(settings.state_dropout)

    def forward(self, utterances: Tensor, speakers: Tensor, steps: Steps) -> Followed:
        """Follow each dialogue, all of them at once, step by step."""
        utterances, speakers = utterances[steps.order], speakers[steps.order]  # by step from here on
        count = steps.counts[0]
        parties = utterances.new_zeros(count, int(speakers.max()) + 1, self.party.hidden_size)  # (B, P, D_p)
        state = utterances.new_zeros(count, self.dialogue.hidden_size)
        emotion = utterances.new_zeros(count, self.emotion.hidden_size)
        queries = self.attend(utterances)  # (V, D_g)
        dialogue, party = PartlyKnown(self.dialogue, utterances), PartlyKnown(self.party, utterances)
        listener = None if self.listener is None else PartlyKnown(self.listener, utterances)
        speaks = one_hot(speakers, parties.shape[1]).bool().unsqueeze(-1)  # (V, P, 1)
        number = torch.arange(count, device=speakers.device)

        followed: dict[str, list[Tensor]] = {name: [] for name in Followed.__dataclass_fields__}
        for rows, count in zip(steps.slices(), steps.counts, strict=True):
            parties, state, emotion = parties[:count], state[:count], emotion[:count]  # those that are not over
            before = parties[number[:count], speakers[rows]]  # (n, D_p): of the one who speaks
            context = _context(followed["dialogue"], queries[rows])
            state = self.dropout(dialogue.step(rows, before, state))
            spoken = self.dropout(party.step(rows, context, before))  # (n, D_p)
            if listener is not None:
                heard = spoken.unsqueeze(1).expand_as(parties)
                parties = self.dropout(listener.step(rows, heard, parties))
            parties = torch.where(speaks[rows], spoken.unsqueeze(1), parties)
            emotion = self.dropout(self.emotion(spoken, emotion))
            for found, new in zip(followed.values(), (emotion, state, context, before, spoken), strict=True):
                found.append(new)
        return Followed(**{name: steps.packed(found) for name, found in followed.items()})


def _context(states: Sequence[Tensor], query: Tensor) -> Tensor:
    """Attention over the dialogue's earlier states; zeros at the first. Shapes: (>= n, D_g) each, (n, D_g)."""
    if not states:
        return torch.zeros_like(query)
    earlier = torch.stack([state[: len(query)] for state in states], dim=1)  # (n, i, D_g)
    weights = torch.bmm(earlier, query.unsqueeze(2)).softmax(1)  # (n, i, 1)
    return torch.bmm(weights.transpose(1, 2), earlier).squeeze(1)


class DialogueRNN(Network):
    """The network. Output: ``representations`` ``emotion`` E_i and, with attention, ``attended`` A_i (B, N, D)."""

    regresses = True

    def __init__(self, settings: DialogueRNNSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.causal = not (settings.bidirectional or settings.attention)
        self.join = Joined(self.widths)
        self.cell = DialogueCell(self.join.width, settings)
        self.backward_cell = DialogueCell(self.join.width, settings) if settings.bidirectional else None
        ways = 2 if settings.bidirectional else 1
        self.emotion_dropout = nn.Dropout(settings.dropout + 0.15)
        width = ways * settings.emotion_width
        self.attention = nn.Linear(width, width) if settings.attention else None
        self.classifier = nn.Sequential(
            nn.Linear(width, ways * settings.hidden_width),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(ways * settings.hidden_width, classes),
        )
        self.class_weights = ClassWeights(classes, settings.class_weights)

    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Also count the classes."""
        super().fit(dialogues)
        self.class_weights.fit(dialogues)

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        inputs = self.join(utterances.features, utterances.present)  # (V, F)
        ways = [(self.cell, False)] + ([] if self.backward_cell is None else [(self.backward_cell, True)])
        emotions = torch.cat(
            [
                self.emotion_dropout(cell(inputs, utterances.speaker, Steps.of(utterances.lengths, backward)).emotion)
                for cell, backward in ways
            ],
            dim=-1,
        )  # (V, D)
        representations = {"emotion": utterances.rows(emotions)}
        if self.attention is not None:
            keys = utterances.rows(emotions)  # (B, N, D)
            attended = scaled_dot_product_attention(
                utterances.rows(self.attention(emotions)), keys, keys, attn_mask=batch.mask.unsqueeze(1), scale=1.0
            )
            emotions = utterances.packed(attended)
            representations["attended"] = utterances.rows(emotions)
        return Output(utterances.rows(self.classifier(emotions)), representations=representations)

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """Cross-entropy, weighted by class."""
        return {"cross_entropy": Part(classification_loss(output.logits, batch, smoothing, self.class_weights()))}


NETWORK = DialogueRNN
