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
from bigfusion.model.layers.recurrence import PartlyKnown, reversal
from bigfusion.model.network_settings.dialogue_rnn import DialogueRNNSettings
from bigfusion.model.networks.base import Network, Output, Part


@dataclass(frozen=True)
class Followed:
    """The states after every step, and the parties' after the last.

    Shapes: ``emotion`` (B, N, D_e), ``dialogue`` and ``context`` (B, N, D_g), ``parties`` (B, P, D_p).
    """

    emotion: Tensor
    dialogue: Tensor
    context: Tensor
    parties: Tensor


class DialogueCell(nn.Module):
    """One direction. Padding stands behind a dialogue's utterances, so that no real state depends on it.

    Shapes: utterances (B, N, F), speakers (B, N) int.
    """

    def __init__(self, width: int, settings: DialogueRNNSettings) -> None:
        super().__init__()
        self.party_width = settings.party_width
        self.dialogue = nn.GRUCell(width + settings.party_width, settings.global_width)
        self.party = nn.GRUCell(width + settings.global_width, settings.party_width)
        self.listener: nn.GRUCell | None = None
        if settings.listener:
            self.listener = nn.GRUCell(width + settings.party_width, settings.party_width)
        self.emotion = nn.GRUCell(settings.party_width, settings.emotion_width)
        self.attend = nn.Linear(width, settings.global_width, bias=False)
        self.dropout = nn.Dropout(settings.state_dropout)

    def forward(self, utterances: Tensor, speakers: Tensor) -> Followed:
        """Follow each dialogue, all of them at once, step by step."""
        count, length = speakers.shape
        parties = utterances.new_zeros(count, int(speakers.max()) + 1, self.party_width)  # (B, P, D_p)
        state = utterances.new_zeros(count, self.dialogue.hidden_size)
        emotion = utterances.new_zeros(count, self.emotion.hidden_size)
        queries = self.attend(utterances)  # (B, N, D_g)
        dialogue, party = PartlyKnown(self.dialogue, utterances), PartlyKnown(self.party, utterances)
        listener = None if self.listener is None else PartlyKnown(self.listener, utterances)
        speaks = one_hot(speakers, parties.shape[1]).bool().unsqueeze(-1)  # (B, N, P, 1)
        rows = torch.arange(count, device=speakers.device)

        states: list[Tensor] = []
        contexts: list[Tensor] = []
        emotions: list[Tensor] = []
        for index in range(length):
            before = parties[rows, speakers[:, index]]  # (B, D_p): of the one who speaks
            context = _context(states, queries[:, index])
            state = self.dropout(dialogue.step(index, before, state))
            spoken = self.dropout(party.step(index, context, before))  # (B, D_p)
            if listener is not None:
                heard = spoken.unsqueeze(1).expand_as(parties)
                parties = self.dropout(listener.step(index, heard, parties))
            parties = torch.where(speaks[:, index], spoken.unsqueeze(1), parties)
            emotion = self.dropout(self.emotion(spoken, emotion))
            states.append(state)
            contexts.append(context)
            emotions.append(emotion)
        return Followed(torch.stack(emotions, 1), torch.stack(states, 1), torch.stack(contexts, 1), parties)


def _context(states: Sequence[Tensor], query: Tensor) -> Tensor:
    """Attention over the dialogue's earlier states; zeros at the first. Shapes: n times (B, D_g), (B, D_g)."""
    if not states:
        return torch.zeros_like(query)
    earlier = torch.stack(list(states), dim=1)  # (B, n, D_g)
    weights = torch.bmm(earlier, query.unsqueeze(2)).softmax(1)  # (B, n, 1)
    return torch.bmm(weights.transpose(1, 2), earlier).squeeze(1)


class DialogueRNN(Network):
    """The network. Output: ``representations`` ``emotion`` E_i and, with attention, ``attended`` A_i (B, N, D)."""

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
        longest = int(utterances.lengths.max())
        mask, speakers = batch.mask[:, :longest], batch.speakers[:, :longest]
        inputs = utterances.rows(self.join(utterances.features, utterances.present))[:, :longest]  # (B, N, F)
        emotions = self.emotion_dropout(self.cell(inputs, speakers).emotion)  # (B, N, D_e)
        if self.backward_cell is not None:
            turned = reversal(utterances.lengths, longest)  # (B, N)
            followed = self.backward_cell(_taken(inputs, turned), speakers.gather(1, turned))
            emotions = torch.cat([emotions, self.emotion_dropout(_taken(followed.emotion, turned))], dim=-1)
        representations = {"emotion": utterances.rows(emotions[mask])}
        if self.attention is not None:
            emotions = scaled_dot_product_attention(
                self.attention(emotions), emotions, emotions, attn_mask=mask.unsqueeze(1), scale=1.0
            )
            representations["attended"] = utterances.rows(emotions[mask])
        return Output(utterances.rows(self.classifier(emotions[mask])), representations=representations)

    def loss(self, output: Output, batch: Batch, smoothing: float = 0.0) -> dict[str, Part]:
        """Cross-entropy, weighted by class."""
        return {"cross_entropy": Part(classification_loss(output.logits, batch, smoothing, self.class_weights()))}


def _taken(rows: Tensor, places: Tensor) -> Tensor:
    """Each dialogue's rows at ``places``. Shapes: (B, N, D), (B, N) -> (B, N, D)."""
    return rows.gather(1, places.unsqueeze(-1).expand_as(rows))


NETWORK = DialogueRNN
