import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables.classes import FEW, settle


def refusal(cells, known=(), label_map=None) -> str:
    with pytest.raises(CorpusError) as error:
        settle(cells, known, label_map)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_empty_tokens_are_no_label_and_are_counted():
    tokens = ["nan", "NaN", "None", "NULL", "N/A", "NA", "<NA>", "#N/A", "", "  ", "\u200b"]
    settled = settle([*tokens, "happy", "sad"])
    assert settled.labels == [""] * len(tokens) + ["happy", "sad"]
    assert settled.notes == (
        "11 of 13 rows have no label (empty 3, #N/A 1, <NA> 1, N/A 1, NA 1, NULL 1, NaN 1, None 1, nan 1)",
    )


def test_a_setting_makes_an_empty_token_a_class():
    assert settle(["none", "joy"], known=("none", "joy")).labels == ["none", "joy"]
    assert settle(["None", "joy"], label_map={"None": "neutral"}).labels == ["neutral", "joy"]


@pytest.mark.parametrize("cells", [["0.3333", "-1.2"], ["0,5", "1"], ["1e-3", "2"], ["1", "2", "2.5"], ["joy", ".5"]])
def test_real_numbers_are_no_classes(cells):
    message = refusal(cells)
    assert "column label: expected classes, found real numbers (" in message
    assert "corpus.label_map = {" in message
    settle(cells, label_map=dict.fromkeys(cells, "some"))
    settle(cells, known=cells)


def test_whole_numbers_are_the_same_with_and_without_their_zero():
    assert settle(["1.0", "1", "2.", "007"] * 3).labels == ["1", "1", "2", "007"] * 3


PAIRS = {
    "case": ("happy", "Happy"),
    "no width": ("happy", "hap\u200bpy"),
    "mark at the end": ("happy", "happy\ufeff"),
    "soft hyphen": ("happy", "hap\xadpy"),
    "wide letters": ("happy", "ｈａｐｐｙ"),
    "spaces": ("very happy", "very\xa0 happy"),
    "Turkish": ("KIZGIN", "kızgın"),
    "sharp s": ("STRASSE", "straße"),
    "numbers": ("1", "01"),
    "plus": ("1", "+1"),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
def test_labels_that_look_the_same_are_asked_for(one, other):
    message = refusal([one, one, other, "sad"])
    assert "(2 rows) and" in message
    written = message.partition("corpus.label_map = {")[2].partition("}")[0]
    label_map = tomllib.loads(f"label_map = {{{written}}}")["label_map"]  # the remedy can be pasted
    assert label_map == {other: one}
    assert settle([one, one, other, "sad"], label_map=label_map).labels == [one, one, one, "sad"]
    assert settle([one, other], known=(one, other)).labels == [one, other]


def test_forms_of_one_letter_are_one_class():
    assert settle(["tristesse é", "tristesse e\u0301"]).labels == ["tristesse é"] * 2
    assert settle(["e\u0301"], label_map={"é": "x"}).labels == ["x"]


def test_more_classes_than_a_tenth_of_the_rows_are_refused_beyond_a_few():
    many = [f"class {number}" for number in range(FEW + 1)]
    assert f"found {FEW + 1} in {FEW + 1} rows" in refusal(many)
    assert f"found {FEW + 1} in 79 rows" in refusal((many * 10)[:79])
    assert len(set(settle(many * 10).labels)) == FEW + 1
    assert settle(many, known=many).labels == many
    assert settle(many[:FEW]).labels == many[:FEW]


def codes(*counts: int) -> list[str]:
    """So many rows of -1, 0, 1, ..."""
    return [str(code - 1) for code, number in enumerate(counts) for _ in range(number)]


def test_minus_one_is_a_class_of_sentiment_where_it_is_as_frequent():
    settled = settle(codes(19, 20, 21))
    assert sorted(set(settled.labels)) == ["-1", "0", "1"]
    assert settled.notes == ('label -1 (19 of 60 rows) is a class; corpus.label_map = {"-1" = ""} would make it none',)
    assert set(settle(["-1", "1"] * 5).labels) == {"-1", "1"}


def test_minus_one_that_is_rare_among_codes_is_none_and_said():
    settled = settle(codes(3, 20, 20, 20))
    assert set(settled.labels) == {"", "0", "1", "2"}
    assert settled.notes == ("3 of 63 rows have no label (-1 3)",)
    assert set(settle(["happy"] * 9 + ["sad"] * 9 + ["-1"]).labels) == {"happy", "sad", ""}
    assert set(settle(["-1"] * 4).labels) == {""}


DOUBT = {
    "as frequent as a class": codes(15, 20, 20, 20),
    "rare beside 0 and 1": codes(3, 30, 30),
    "one class": codes(10, 10),
    "words": ["happy"] * 5 + ["-1"] * 5,
    "another number": ["0", "1", "1", "-100"],
    "a gap": ["-3", "-1", "0", "1"],
}


@pytest.mark.parametrize("cells", DOUBT.values(), ids=DOUBT)
def test_a_negative_label_in_doubt_is_refused_until_the_setting_says(cells):
    low = min((cell for cell in cells if cell.startswith("-")), key=int)
    assert f"found {low} in {cells.count(low)} of {len(cells)} rows, which may be a class or none" in refusal(cells)
    assert low in settle(cells, label_map={low: low}).labels


def test_a_scale_without_a_gap_is_classes():
    assert set(settle([str(number) for number in range(-3, 4)] * 2).labels) == {str(n) for n in range(-3, 4)}


def test_a_map_of_a_label_that_no_row_has_is_said():
    assert settle(["a", "b"], label_map={"c": "a"}).notes == ("corpus.label_map: no row has the label 'c'",)


@given(st.lists(st.sampled_from(["joy", "sad", "fear", "", "nan"]), max_size=30), st.randoms())
def test_the_order_of_the_rows_does_not_matter(cells, random):
    shuffled = list(cells)
    random.shuffle(shuffled)
    assert sorted(settle(cells).labels) == sorted(settle(shuffled).labels)
    assert settle(cells).notes == settle(shuffled).notes


@pytest.mark.parametrize(
    ("rare", "usual", "noted"),
    [("hapy", "happy", True), ("sadnes", "sadness", True), ("unhappy", "happy", False), ("amoral", "moral", True)],
)
def test_a_label_that_may_be_misspelt_is_noted_and_no_ready_line_would_merge_it(rare, usual, noted):
    """difflib takes unhappy for happy: 0.83. Of labels as near as amoral and moral only a reader knows."""
    notes = settle([rare, *[usual] * 9, *["other"] * 9]).notes
    assert bool(notes) is noted
    assert not any(f'= "{usual}"' in note for note in notes)
    if noted:
        (note,) = notes
        assert note.startswith(
            f'label "{rare}" (1 row) is a class of its own beside "{usual}" (9 rows); if one is miss'
        )
