from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bigfusion.model.layers.recurrence import Steps
from bigfusion.model.network_settings.dialogue_rnn import DialogueRNNSettings
from bigfusion.model.networks.dialogue_rnn import DialogueCell, DialogueRNN, Followed
from tests.helpers.network_suite import CLASSES, CLOSE, WIDTHS, NetworkSuite, batch

SMALL = DialogueRNNSettings(
    global_width=6, party_width=5, emotion_width=4, hidden_width=4, dropout=0.0, state_dropout=0.0
)
ONE_WAY = SMALL.model_copy(update={"bidirectional": False, "attention": False})


class Suite(NetworkSuite):
    random = {"state_dropout": 0.3}

    def network(self, seed=0, **changes):
        """The dropout on the emotions is never below 0.15: out of the way unless a test asks for it."""
        network = super().network(seed, **changes)
        if not changes.get("state_dropout"):
            network.emotion_dropout.p = 0.0
        return network


class TestDialogueRNN(Suite):
    settings = SMALL


class TestOneWay(Suite):
    settings = ONE_WAY


class TestListener(Suite):
    settings = SMALL.model_copy(update={"listener": True})


def cell(settings: DialogueRNNSettings = SMALL, width: int = 3) -> DialogueCell:
    torch.manual_seed(0)
    return DialogueCell(width, settings).double()


def follow(some: DialogueCell, utterances: Tensor, speakers: list[int]) -> Followed:
    """One dialogue."""
    return some(utterances, torch.tensor(speakers), Steps.of(torch.tensor([len(speakers)])))


@pytest.mark.parametrize("listener", [False, True])
def test_the_states_are_those_of_torchs_cells_step_by_step(listener):
    some = cell(SMALL.model_copy(update={"listener": listener}))
    utterances, speakers = torch.randn(5, 3).double(), [0, 1, 0, 2, 1]
    followed = follow(some, utterances, speakers)
    state, emotion, states = torch.zeros(6).double(), torch.zeros(4).double(), []
    parties = [torch.zeros(5).double() for _ in range(3)]
    for index, speaker in enumerate(speakers):
        spoken, context = utterances[index], torch.zeros(6).double()
        if states:
            scores = torch.stack([earlier @ some.attend(spoken) for earlier in states])
            context = scores.softmax(0) @ torch.stack(states)
        state = some.dialogue(torch.cat([spoken, parties[speaker]]), state)
        own = some.party(torch.cat([spoken, context]), parties[speaker])
        torch.testing.assert_close(followed.before[index], parties[speaker])
        if listener:
            parties = [some.listener(torch.cat([spoken, own]), party) for party in parties]
        parties[speaker] = own
        emotion = some.emotion(own, emotion)
        states.append(state)
        torch.testing.assert_close(followed.context[index], context)
        torch.testing.assert_close(followed.dialogue[index], state)
        torch.testing.assert_close(followed.party[index], own)
        torch.testing.assert_close(followed.emotion[index], emotion)


def test_an_utterance_of_the_one_way_form_moves_itself_and_what_follows():
    torch.manual_seed(0)
    network, inputs = DialogueRNN(ONE_WAY, WIDTHS, CLASSES).double().eval(), batch((8,))
    inputs.present["text"][:] = True
    text = inputs.features["text"].clone()
    text[:, 3] += 1
    changed = network(replace(inputs, features=inputs.features | {"text": text})).logits[0]
    logits = network(inputs).logits[0]
    assert torch.equal(changed[:3], logits[:3])
    assert ((changed[3:] - logits[3:]).abs().amax(1) > 1e-9).all()


def test_a_party_that_does_not_speak_keeps_its_state():
    followed = follow(cell(), torch.randn(4, 3).double(), [0, 1, 1, 0])
    assert not followed.before[:2].any()  # both begin at zero, whatever the other has said
    assert torch.equal(followed.before[3], followed.party[0]) and followed.party[0].any()
    assert torch.equal(followed.before[2], followed.party[1])


def test_emotions_of_a_constant_candidate_are_the_hand_values():
    some = cell()
    for weight in some.parameters():
        nn.init.zeros_(weight)
    nn.init.ones_(some.emotion.bias_ih[8:])  # the candidate's; the gates stay at a half
    emotion = follow(some, torch.randn(3, 3).double(), [0, 1, 0]).emotion
    hand = torch.tensor([0.380797, 0.571196, 0.666395]).double()
    torch.testing.assert_close(emotion, hand.unsqueeze(1).expand(3, 4), atol=1e-6, rtol=0)


def test_without_a_query_the_context_is_the_mean_of_the_earlier_states():
    some = cell()
    nn.init.zeros_(some.attend.weight)
    followed = follow(some, torch.randn(6, 3).double(), [0, 1, 0, 0, 1, 1])
    assert not followed.context[0].any()
    for index in range(1, 6):
        torch.testing.assert_close(followed.context[index], followed.dialogue[:index].mean(0))


def test_the_backward_cell_reads_the_reversed_dialogue():
    torch.manual_seed(0)
    settings = SMALL.model_copy(update={"attention": False, "modalities": ("text",)})
    network = DialogueRNN(settings, WIDTHS, CLASSES).double().eval()
    inputs = batch((7, 4))
    emotion = network(inputs).representations["emotion"]
    network.cell, network.backward_cell = network.backward_cell, network.cell
    for row, length in enumerate((7, 4)):
        turned = replace(
            inputs,
            features={"text": inputs.features["text"][row : row + 1, :length].flip(1)},
            present={"text": inputs.present["text"][row : row + 1, :length].flip(1)},
            mask=inputs.mask[row : row + 1, :length],
            speakers=inputs.speakers[row : row + 1, :length].flip(1),
        )
        other = network(turned).representations["emotion"].flip(1)[0]
        torch.testing.assert_close(torch.cat([other[:, 4:], other[:, :4]], 1), emotion[row, :length], **CLOSE)


def test_emotional_attention_weighs_all_emotions_of_the_dialogue():
    torch.manual_seed(0)
    network, inputs = DialogueRNN(SMALL, WIDTHS, CLASSES).double().eval(), batch()
    output = network(inputs)
    for row, length in enumerate((6, 1, 9)):
        emotion = output.representations["emotion"][row, :length]
        weights = (network.attention(emotion) @ emotion.T).softmax(-1)
        torch.testing.assert_close(output.representations["attended"][row, :length], weights @ emotion)
