import pandas as pd
import pytest

from bigfusion.pipeline.manifest.sides import split_notes


def frame(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["dialogue", "split", "speaker"])


def test_speakers_of_single_utterances_on_both_sides():
    table = frame(("a", "train", "Ann"), ("b", "valid", "Ann"), ("c", "test", "Ann"), ("d", "test", "Ben"))
    (note,) = split_notes(table)
    assert note.startswith("1 of 1 valid speakers and 1 of 2 test speakers are in train as well")


@pytest.mark.parametrize(
    "table",
    [
        frame(),
        frame(("a", "train", "Ann"), ("b", "test", "Ben")),
        frame(("a", "train", ""), ("b", "test", "")),
        frame(("a", "train", "Ann"), ("a", "train", "Ben"), ("b", "test", "Ann"), ("b", "test", "Ben")),
    ],
    ids=["empty", "apart", "nobody named", "conversations"],
)
def test_where_nothing_is_to_be_said(table):
    assert split_notes(table) == []
