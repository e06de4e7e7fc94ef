from dataclasses import replace

import numpy as np
import torch

from bigfusion.model.data.batch import UNLABELLED, Dialogue, collate
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.layers.recurrence import over_dialogues
from bigfusion.model.network_settings.mm_dfn import RELEASED, MMDFNSettings
from bigfusion.model.network_settings.mmgcn import MMGCNSettings
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.mm_dfn import MMDFN, over_parties
from bigfusion.model.networks.mmgcn import MMGCN
from tests.helpers.network_suite import CLASSES, CLOSE, WIDTHS, NetworkSuite, batch
from tests.helpers.slow_forms import double

SMALL = MMDFNSettings(width=8, graph_width=6, layers=3, dropout=0.0, visual_speaker=0.5)
SILENT = {"text_speaker": 0.0, "audio_speaker": 0.0, "visual_speaker": 0.0}


class TestMMDFN(NetworkSuite):
    settings = SMALL
    random = {"dropout": 0.3}


class TestWithoutGateAndParties(NetworkSuite):
    settings = SMALL.model_copy(update={"gate": False, **SILENT})


def network(**changes) -> MMDFN:
    torch.manual_seed(0)
    return MMDFN(SMALL.model_copy(update=changes), WIDTHS, CLASSES).double().eval()


def test_a_partys_states_are_a_gru_over_its_utterances_alone():
    some, inputs = network(), batch((6, 1, 9), pad_to=12)
    utterances = some.read(inputs)
    vectors = torch.randn(2, int(inputs.mask.sum()), 8).double()
    found = over_parties(some.party, vectors, utterances)
    for dialogue in range(3):
        for speaker in range(3):
            own = (utterances.dialogue == dialogue) & (utterances.speaker == speaker)
            if own.any():
                expected, _ = some.party(vectors[:, own])  # no padding; of one utterance too
                torch.testing.assert_close(found[:, own], expected, **CLOSE)


def test_with_no_weight_on_parties_nobody_asks_who_speaks():
    some, inputs = network(**SILENT), batch()
    assert some.party is None
    assert torch.equal(some(replace(inputs, speakers=inputs.speakers * 0)).logits, some(inputs).logits)


def test_an_utterance_moved_to_another_party_changes_the_logits():
    some, inputs = network(), batch()
    speakers = inputs.speakers.clone()
    speakers[0, 2] = (speakers[0, 2] + 1) % 3
    moved = some(replace(inputs, speakers=speakers)).logits
    assert not torch.allclose(moved[0], some(inputs).logits[0])
    torch.testing.assert_close(moved[1:], some(inputs).logits[1:], **CLOSE)


def test_without_the_gate_the_stack_is_mmgcns():
    dfn = network(gate=False, **SILENT)
    gcn = MMGCN(MMGCNSettings(width=8, graph_width=6, layers=3, alpha=0.2), WIDTHS, CLASSES).double().eval()
    for part in ("projections", "reduce", "classifier"):
        getattr(gcn, part).load_state_dict(getattr(dfn, part).state_dict())
    gcn.convolutions.load_state_dict(dfn.fusion.state_dict())
    gcn._text = lambda text, utterances: over_dialogues(dfn.text, text, utterances)  # the one other difference
    inputs = batch()
    torch.testing.assert_close(gcn(inputs).logits, dfn(inputs).logits, **CLOSE)


def test_with_gamma_0_the_loss_is_cross_entropy():
    some, inputs = network(gamma=0.0, class_weights=0.0), batch()
    inputs.labels[0, 1] = UNLABELLED
    output = some(inputs)
    torch.testing.assert_close(
        some.loss(output, inputs)["cross_entropy"].value, classification_loss(output.logits, inputs), atol=1e-6, rtol=0
    )


def test_the_released_decay_is_as_strong_beside_the_loss_as_it_was():
    """Adam's decay is part of the gradient. Beside a loss of a sixth of the released one it was six times as strong."""
    counts = torch.tensor([2, 4, 7, 5, 3, 9])
    labels = torch.arange(6).repeat_interleave(counts)
    taught = Dialogue("one", tuple(map(str, labels.tolist())), {}, {}, np.zeros(len(labels), np.int64), labels.numpy())
    some = MMDFN(SMALL, WIDTHS, 6).double()
    some.class_weights.fit([taught])
    logits = torch.randn(1, len(labels), 6).double()
    log_p = logits[0].log_softmax(-1).gather(1, labels.unsqueeze(1))[:, 0]
    released = (-((1 - log_p.exp()) ** 0.5) * log_p * len(labels) / counts[labels]).mean()
    inputs = double(collate([taught]))
    found = some.loss(Output(logits), inputs)["cross_entropy"].value
    decay = RELEASED["iemocap"]["train"]["weight_decay"]
    torch.testing.assert_close(found / decay, released / 1e-4)
    assert RELEASED["meld"]["train"]["weight_decay"] == 1e-4, "MELD's loss is not weighted"
