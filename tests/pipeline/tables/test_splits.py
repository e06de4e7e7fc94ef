import pytest

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables.splits import check_spellings, split_of


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "Training", " TRAIN "]),
        ("valid", ["valid", "validation", "val", "Dev", "development"]),
        ("test", ["test", "testing"]),
        ("", ["", "eval", "evaluation", "holdout", "trainval", "0"]),
    ],
)
def test_names_of_splits(split, names):
    assert {split_of(name) for name in names} == {split}


def test_two_spellings_of_one_split_are_refused():
    check_spellings(["train", "Train", "dev", "DEV", "test", "?"])
    with pytest.raises(CorpusError, match="expected one name for valid, found 'dev' and 'validation'"):
        check_spellings(["train", "dev", "test", "validation"])
