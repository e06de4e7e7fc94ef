import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bigfusion.model.network_settings.mmgcn import MMGCNSettings
from bigfusion.model.networks.mmgcn import MMGCN, released_focal_loss
from tests.helpers.network_suite import CLASSES, CLOSE, WIDTHS, NetworkSuite, batch

SMALL = MMGCNSettings(width=8, graph_width=6, layers=3, speakers=3, dropout=0.0)


class TestMMGCN(NetworkSuite):
    settings = SMALL
    random = {"dropout": 0.3}


class TestReleased(NetworkSuite):
    settings = SMALL.model_copy(update={"objective": "released_focal"})


def network(**changes) -> MMGCN:
    torch.manual_seed(0)
    return MMGCN(SMALL.model_copy(update=changes), WIDTHS, CLASSES).double().eval()


def test_without_the_texts_context_nothing_knows_the_order():
    some, inputs = network(), batch((7,))
    some._text = lambda text, utterances: text  # what knows order and speakers
    order = torch.randperm(7)
    turned = replace(
        inputs,
        features={name: rows[:, order] for name, rows in inputs.features.items()},
        present={name: rows[:, order] for name, rows in inputs.present.items()},
        speakers=inputs.speakers[:, order],
    )
    torch.testing.assert_close(some(turned).logits, some(inputs).logits[:, order], **CLOSE)


def test_the_speaker_enters_by_the_embedding_alone():
    some, inputs = network(), batch()
    other = replace(inputs, speakers=(inputs.speakers + 1) % 3)
    assert not torch.allclose(some(other).logits, some(inputs).logits)
    torch.nn.init.zeros_(some.speakers.weight)
    assert torch.equal(some(other).logits, some(inputs).logits)


def test_speakers_beyond_the_embeddings_count_as_the_last():
    some, inputs = network(), batch()
    beyond = replace(inputs, speakers=torch.where(inputs.speakers == 2, 7, inputs.speakers))
    assert torch.equal(some(beyond).logits, some(inputs).logits)


def test_without_text_there_is_no_speaker():
    some, inputs = network(modalities=("audio", "visual")), batch()
    assert not some.numbered_speakers
    assert torch.equal(some(replace(inputs, speakers=inputs.speakers * 0)).logits, some(inputs).logits)


def test_absent_rows_do_not_start_without_a_direction():
    for absent in network().projections.absent.values():
        assert absent.norm() > 0.01


def uniform(classes: int) -> tuple[Tensor, object]:
    inputs = batch((4,))
    return torch.zeros(1, 4, classes).double(), replace(inputs, labels=torch.tensor([[0, 1, 2, 0]]))


def test_the_released_loss_of_uniform_probabilities_is_the_hand_value():
    logits, inputs = uniform(7)
    assert released_focal_loss(logits, inputs).item() == pytest.approx(5.8086, abs=1e-4)


def test_the_released_loss_is_a_mean_over_all_classes():
    torch.manual_seed(0)
    logits, inputs = torch.randn(1, 4, 3).double(), uniform(3)[1]
    log_p, total = logits[0].log_softmax(-1), 0.0
    for row, label in zip(log_p, (0, 1, 2, 0), strict=True):
        for k, value in enumerate(row.tolist()):
            total += -((1 - (value if k == label else 0)) ** 2.5) * value
    assert released_focal_loss(logits, inputs).item() == pytest.approx(total / 12)
    assert not math.isclose(total / 12, torch.nn.functional.nll_loss(log_p, torch.tensor([0, 1, 2, 0])).item())
