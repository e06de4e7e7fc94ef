"""DialogueRNN: torch's cells, utterance after utterance."""

from __future__ import annotations

import torch
from torch import Tensor

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.dialogue_rnn import DialogueCell, DialogueRNN
from tests.helpers.plain.dialogue import joined, read, rows


def emotions(cell: DialogueCell, utterances: Tensor, speakers: list[int]) -> Tensor:
    """e_i of each utterance. Shapes: (n, F), n -> (n, D_e)."""
    parties = [utterances.new_zeros(cell.party.hidden_size) for _ in range(max(speakers) + 1)]
    state = utterances.new_zeros(cell.dialogue.hidden_size)
    emotion = utterances.new_zeros(cell.emotion.hidden_size)
    states: list[Tensor] = []
    found: list[Tensor] = []
    for spoken, speaker in zip(utterances, speakers, strict=True):
        context = torch.zeros_like(state)
        if states:
            earlier = torch.stack(states)
            context = (earlier @ cell.attend(spoken)).softmax(0) @ earlier
        state = cell.dropout(cell.dialogue(torch.cat([spoken, parties[speaker]]), state))
        own = cell.dropout(cell.party(torch.cat([spoken, context]), parties[speaker]))
        if cell.listener is not None:
            parties = [cell.dropout(cell.listener(torch.cat([spoken, own]), party)) for party in parties]
        parties[speaker] = own
        emotion = cell.dropout(cell.emotion(own, emotion))
        states.append(state)
        found.append(emotion)
    return torch.stack(found)


def plain(network: DialogueRNN, batch: Batch) -> Output:
    """Forwards, backwards, attention, classes."""
    read_ = read(network, batch)
    utterances, speakers = joined(network.join, read_), read_.speakers
    ways = [network.emotion_dropout(emotions(network.cell, utterances, speakers))]
    if network.backward_cell is not None:
        backward = emotions(network.backward_cell, utterances.flip(0), speakers[::-1])
        ways.append(network.emotion_dropout(backward.flip(0)))
    emotion = torch.cat(ways, dim=1)
    if network.attention is not None:
        attended = [(emotion @ network.attention(one)).softmax(0) @ emotion for one in emotion]
        emotion = torch.stack(attended)
    return Output(rows(network.classifier(emotion)))
