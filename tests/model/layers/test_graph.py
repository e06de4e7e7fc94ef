import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bigfusion.model.data.utterances import to_rows
from bigfusion.model.layers.graph import Relations, build_graph
from tests.helpers.slow_forms import rows, slow_edges

ORDER = Relations()


def edges(graph):
    return list(zip(*graph.edge_index.tolist(), graph.relation.tolist(), strict=True))


def test_hand_computed():
    """Speakers A B A: the type says whose words reach whom, and from where."""
    graph = build_graph(torch.ones(1, 3, dtype=torch.bool), torch.tensor([[0, 1, 0]]), 2, ORDER)
    same_earlier, same_later, other_earlier, other_later = range(4)
    assert set(edges(graph)) == {
        (0, 1, other_earlier),
        (0, 2, same_earlier),
        (1, 0, other_later),
        (1, 2, other_earlier),
        (2, 0, same_later),
        (2, 1, other_later),
    }
    assert graph.sizes.tolist() == [3]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=4),
    st.integers(0, 5),
    st.integers(1, 4),
    st.sampled_from([ORDER, Relations("pairs", 2), Relations("pairs", 4)]),
    st.integers(0, 2**31),
)
def test_every_edge_once_as_plain_loops_find_them(lengths, window, speakers, relations, seed):
    torch.manual_seed(seed)
    mask, speaker = rows(lengths, speakers, padded=1)
    graph = build_graph(mask, speaker, window, relations)
    found = edges(graph)
    assert len(found) == len(set(found))
    assert set(found) == slow_edges(mask, speaker, window, relations)
    assert graph.dialogue.tolist() == [row for row, length in enumerate(lengths) for _ in range(length)]
    assert graph.speaker.tolist() == speaker[mask].tolist()
    assert graph.sizes.tolist() == lengths
    assert not found or max(relation for _, _, relation in found) < relations.count


def test_earlier_and_later_sources_never_share_a_type():
    for relations in (ORDER, Relations("pairs", 3)):
        every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
        earlier = relations.of(every[:, 0], every[:, 1], torch.tensor(False))
        later = relations.of(every[:, 0], every[:, 1], torch.tensor(True))
        assert not set(earlier.tolist()) & set(later.tolist())


def test_pairs_tell_all_pairs_and_directions_apart():
    relations = Relations("pairs", 3)
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3), torch.arange(2))
    assert sorted(relations.of(*every[:, :2].T, every[:, 2]).tolist()) == list(range(relations.count))


def test_speakers_beyond_p_count_as_the_last():
    relations = Relations("pairs", 2)
    later = torch.tensor(False)
    assert relations.of(torch.tensor(7), torch.tensor(0), later) == relations.of(
        torch.tensor(1), torch.tensor(0), later
    )


def test_padding_makes_no_difference():
    mask, speakers = rows([4, 6, 1])
    longer = torch.nn.functional.pad(mask, (0, 9)), torch.nn.functional.pad(speakers, (0, 9), value=5)
    one, other = build_graph(mask, speakers, 3, ORDER), build_graph(*longer, 3, ORDER)
    assert edges(one) == edges(other)


def test_nodes_go_back_to_their_rows():
    mask, _ = rows([3, 0, 5], padded=2)
    values = torch.randn(*mask.shape, 4)
    assert torch.equal(to_rows(values[mask], mask), values * mask.unsqueeze(-1))
