import itertools

from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.corpora.deal import deal, groups


def test_dialogues_that_share_a_value_lie_in_one_group():
    dialogues = ["a", "a", "b", "c", "d", "e"]
    speakers = ["Zoe", "Ben", "Ben", "Ann", "Zoe", "Ulf"]
    assert groups(dialogues, speakers) == {"a": "Ben", "b": "Ben", "c": "Ann", "d": "Ben", "e": "Ulf"}


def components(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The same by a slow way: join sets until nothing changes."""
    sets = [({dialogue}, {value}) for dialogue, value in pairs]
    while True:
        for i, j in itertools.permutations(range(len(sets)), 2):
            if sets[i][0] & sets[j][0] or sets[i][1] & sets[j][1]:
                sets[j] = (sets[i][0] | sets[j][0], sets[i][1] | sets[j][1])
                del sets[i]
                break
        else:
            return {dialogue: min(values) for dialogues, values in sets for dialogue in dialogues}


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("STUVWXYZ")), max_size=14), st.randoms())
def test_groups_are_the_connected_ones_in_any_order_of_rows(pairs, random):
    expected = components(pairs)
    assert groups([a for a, _ in pairs], [b for _, b in pairs]) == expected
    shuffled = list(pairs)
    random.shuffle(shuffled)
    found = groups([a for a, _ in shuffled], [b for _, b in shuffled])
    assert found == expected
    dealt = deal(found.values())
    split = {dialogue: dealt[group] for dialogue, group in found.items()}
    for one, first in pairs:
        for other, second in pairs:
            assert first != second or split[one] == split[other], "a value lies in one split"
