from dataclasses import replace

import pytest
import torch

from bigfusion.model.network_settings.graphsmile import GraphSmileSettings
from bigfusion.model.networks.base import build
from bigfusion.model.networks.graphsmile import OffsetAdjacency, PairGraph, block_partners, shift_labels, shift_loss
from bigfusion.pipeline.corpora import crema_d, dailydialog, emorynlp, iemocap, label_csv, m3ed, ravdess
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.tables.labels import IEMOCAP, MELD
from tests.helpers.network_suite import WIDTHS, NetworkSuite, batch


class TestGraphSmile(NetworkSuite):
    settings = GraphSmileSettings(width=8, layers=3, window=2, block=4, dropout=0.0, sentiments=(0, 1, 2))
    random = {"dropout": 0.3}


def graph(**changes):
    torch.manual_seed(0)
    return PairGraph(GraphSmileSettings(width=3, dropout=0.0, **changes)).double().eval()


def test_of_one_utterance_a_hop_swaps_the_modalities():
    network, (one, other) = graph(layers=1, window=4), torch.randn(2, 1, 3, dtype=torch.float64)
    (first,) = network.hops(one, other, torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(first[0], network.hop[0](other))
    torch.testing.assert_close(first[1], network.hop[0](one))


def test_two_hops_without_a_window_come_back():
    network, (one, other) = graph(layers=2, window=0), torch.randn(2, 2, 3, dtype=torch.float64)
    for hop in network.hop:
        torch.nn.init.eye_(hop.weight)
        torch.nn.init.zeros_(hop.bias)
    _, second = network.hops(one, other, torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(second, torch.stack([one, other]))


def test_the_adjacency_is_that_of_the_whole_bipartite_graph_normalised():
    torch.manual_seed(0)
    adjacency, mask = OffsetAdjacency(1, learnt=True).double(), torch.tensor([[True] * 4 + [False]])
    torch.nn.init.normal_(adjacency.raw)
    weight = torch.nn.functional.softplus(adjacency.raw)
    whole = torch.zeros(8, 8, dtype=torch.float64)  # four utterances of one modality, then four of the other
    for i in range(4):
        for j in range(max(i - 1, 0), min(i + 2, 4)):
            whole[i, 4 + j] = whole[4 + j, i] = weight[j - i + 1]
    root = whole.sum(1).rsqrt()
    expected = (root[:, None] * whole * root)[:4, 4:]
    found = adjacency(mask, whole)[0]
    torch.testing.assert_close(found[:4, :4], expected)
    assert not found[4].any() and not found[:, 4].any()


def test_edges_weigh_one_at_first():
    mask, like = torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, dtype=torch.float64)
    torch.testing.assert_close(
        OffsetAdjacency(2, learnt=True).double()(mask, like), OffsetAdjacency(2, learnt=False)(mask, like)
    )


def test_a_block_of_two_with_two_sentiments_has_two_shifts():
    partner, inside = block_partners(torch.ones(1, 2, dtype=torch.bool), 2)
    labels, known = shift_labels(torch.tensor([0, 1]), partner, inside)
    assert labels.flatten().tolist() == [0, 1, 1, 0] and known.all()


def test_blocks_are_cut_from_a_dialogues_start_and_end_with_it():
    partner, inside = block_partners(torch.tensor([[True, True, True], [True, True, False]]), 2)
    found = [partner[row][inside[row]].tolist() for row in range(5)]
    assert found == [[0, 1], [0, 1], [2], [3, 4], [3, 4]]


def test_a_class_without_a_sentiment_teaches_none():
    logits = torch.randn(3, 3, 2)
    mask = torch.ones(1, 3, dtype=torch.bool)
    found = shift_loss(logits, torch.tensor([-1, 0, 2]), mask, 3)
    assert found[0] == 0
    own, other = logits[1, 1].log_softmax(0)[0], logits[1, 2].log_softmax(0)[1]
    torch.testing.assert_close(found[1], -(own + other) / 2)


def test_speakers_are_not_looked_at():
    network, inputs = TestGraphSmile().network().eval(), batch()
    changed = replace(inputs, speakers=torch.zeros_like(inputs.speakers))
    assert torch.equal(network(changed).logits, network(inputs).logits)


def test_sentiments_of_other_classes_are_refused():
    with pytest.raises(TrainingError, match=r"model\.sentiments: expected one for each of the corpus's 4 classes"):
        build(TestGraphSmile.settings, WIDTHS, 4)


def test_sentiments_come_from_the_names_of_the_classes():
    """Six classes of CREMA-D are not IEMOCAP's six: their places say nothing."""
    settings = GraphSmileSettings()
    assert settings.for_classes(IEMOCAP).sentiments == (2, 0, 1, 0, 2, 0)
    assert settings.for_classes(MELD).sentiments == (1, -1, 0, 0, 2, 0, 0)
    assert settings.for_classes(tuple(crema_d.EMOTIONS.values())).sentiments == (0, 0, 0, 2, 1, 0)
    chosen = GraphSmileSettings(sentiments=(0, 1))
    assert chosen.for_classes(("calm", "loud")) is chosen
    with pytest.raises(TrainingError, match=r"label loud: expected an emotion .*; set model\.sentiments"):
        settings.for_classes(("calm", "loud"))


@pytest.mark.parametrize(
    "labels",
    [
        IEMOCAP,
        iemocap.FOUR,
        MELD,
        dailydialog.LABELS,
        emorynlp.LABELS,
        m3ed.LABELS,
        crema_d.EMOTIONS.values(),
        ravdess.EMOTIONS.values(),
        label_csv.CLASSES,
        ("anger", "anxiety", "boredom", "disgust", "happiness", "neutral", "sadness"),  # EmoDB
    ],
)
def test_every_corpus_of_ours_has_sentiments(labels):
    assert len(GraphSmileSettings().for_classes(tuple(labels)).sentiments) == len(labels)


def test_the_run_is_that_of_the_sentiments_written_out():
    """Numbers that were written down before the names were read keep their runs."""
    named = GraphSmileSettings().for_classes(IEMOCAP)
    assert named.numbers() == GraphSmileSettings(sentiments=(2, 0, 1, 0, 2, 0)).numbers()
