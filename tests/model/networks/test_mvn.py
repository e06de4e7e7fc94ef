import torch
from torch import nn

from bigfusion.model.network_settings.mvn import MVNSettings
from bigfusion.model.networks.mvn import MVN, AttentionBlock, Gate, windows
from tests.helpers.network_suite import CLASSES, CLOSE, WIDTHS, NetworkSuite, batch

SMALL = MVNSettings(width=6, window=3, dropout=0.0)


class TestMVN(NetworkSuite):
    settings = SMALL
    random = {"dropout": 0.3}


class TestWeighted(NetworkSuite):
    settings = SMALL.model_copy(update={"class_weights": 0.5})


def network(**changes) -> MVN:
    torch.manual_seed(0)
    return MVN(SMALL.model_copy(update=changes), WIDTHS, CLASSES).double().eval()


def test_windows_hold_the_utterances_before_each_in_its_own_dialogue():
    near = windows(torch.tensor([0, 0, 0, 0, 1, 2, 2]), 2)
    assert near.owner.tolist() == [1, 2, 3, 6]
    found = [places[real].tolist() for places, real in zip(near.places, near.real, strict=True)]
    assert found == [[0], [0, 1], [1, 2], [5]]


def test_the_window_ends_where_it_says():
    some, inputs = network(), batch((9,))
    logits = some(inputs).logits[0, 7]
    for place, seen in ((3, False), (4, True), (6, True)):
        changed = batch((9,))
        for name in WIDTHS:
            changed.present[name][0, place] = True
            changed.features[name][0, place] += 2
        assert torch.allclose(some(changed).logits[0, 7], logits, **CLOSE) != seen, place


def test_a_wider_window_than_the_dialogue_changes_nothing():
    inputs = batch((6, 1, 5))
    torch.testing.assert_close(network(window=50)(inputs).logits, network(window=5)(inputs).logits, **CLOSE)


def test_a_gate_without_weights_gives_the_mean():
    gate = Gate(4)
    for weight in gate.parameters():
        nn.init.zeros_(weight)
    one, other = torch.randn(2, 3, 4)
    torch.testing.assert_close(gate(one, other), (one + other) / 2)


def test_equal_heads_give_twice_one_log_softmax():
    some = network()
    for head in (some.words_head, some.utterances_head):
        nn.init.zeros_(head[-1].weight)
        head[-1].bias.data = torch.tensor([1.0, 2.0, 4.0]).double()
    inputs = batch()
    expected = 2 * torch.tensor([1.0, 2.0, 4.0]).double().log_softmax(0)
    torch.testing.assert_close(some(inputs).logits[inputs.mask], expected.expand(16, 3))


def test_the_loss_is_the_negative_log_likelihood_of_the_sum():
    some, inputs = network(), batch()
    output = some(inputs)
    picked = output.logits.gather(2, inputs.labels.clamp(min=0).unsqueeze(2)).squeeze(2)[inputs.mask]
    torch.testing.assert_close(some.loss(output, inputs)["cross_entropy"].value, -picked.mean())


def attended(block: AttentionBlock, query: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    scores = block.query(query) @ block.key(other).T / query.shape[-1] ** 0.5
    hidden = block.norm(query + scores.softmax(-1) @ block.value(other))
    return block.norm(hidden + block.feed_forward(hidden))


def test_every_utterance_is_what_the_equations_say_of_it_alone():
    some, inputs = network(), batch((6,))
    utterances = some.read(inputs)
    projected = some.projections(utterances.features, utterances.present)
    tokens = torch.stack(list(projected.values()), dim=1) + some.modality
    output = some(inputs)
    words, memory = some.words, some.utterances
    for index in range(6):
        query = tokens[index]
        asked, vector = attended(words.within, query, query), query.amax(0)
        expected_words, expected_vector = asked.amax(0), vector
        if index:
            near = tokens[max(index - 3, 0) : index]
            context = near.flatten(0, 1)
            answers = words.tokens_gate(
                attended(words.within, context, context), attended(words.across, context, query)
            )
            asked = words.tokens_gate(asked, attended(words.across, query, context))
            expected_words = words.gate(asked.amax(0), answers.amax(0))
            before = near.amax(1)
            bank = before + sum(memory.memory(before)[0].chunk(2, dim=-1))
            expected_vector = memory.gate(vector, (bank @ vector).softmax(0) @ bank)
        torch.testing.assert_close(output.representations["words"][0, index], expected_words, **CLOSE)
        torch.testing.assert_close(output.representations["utterances"][0, index], expected_vector, **CLOSE)


def test_every_view_of_the_words_is_dropped_out():
    """All of it: nothing of an utterance's words is left, its first utterance's included."""
    some, inputs = network().train(), batch()
    assert some(inputs).representations["words"][inputs.mask].abs().min() > 0
    some.words.dropout.p = 1.0
    assert not some(inputs).representations["words"].any()
