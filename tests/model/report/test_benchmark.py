"""Data are a benchmark's only if more than their classes says so."""

import numpy as np
import pytest

from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.report.benchmark import benchmark_of, caveat
from bigfusion.pipeline.tables.labels import IEMOCAP, MELD


def data(labels: tuple[str, ...], train: str = "call_1", test: tuple[int, ...] = (2, 1)) -> Data:
    """A training dialogue of this name, and test dialogues of these lengths."""
    several = [one(f"test_{number}", length) for number, length in enumerate(test)]
    return Data(labels, [one(train, 2)], [], several if train == "call_1" else [one(train, 3)])


def one(name: str, length: int) -> Dialogue:
    ids = tuple(f"{name}/{turn}" for turn in range(length))
    return Dialogue(name, ids, {}, {}, np.zeros(length, np.int64), np.zeros(length, np.int64))


WHOLE = (9,) * 279 + (99,)


@pytest.mark.parametrize(
    ("name", "found", "corpus"),
    [
        ("own", data(MELD), None),
        ("meld", data(MELD), "meld"),
        ("MELD", data(MELD), "meld"),
        ("meld", data(IEMOCAP), None),
        ("meld", data(("calm", "loud")), None),
        ("own", data(MELD, test=WHOLE), "meld"),
        ("own", data(MELD, test=WHOLE[1:]), None),
        ("own", data(IEMOCAP), None),
        ("own", data(IEMOCAP, "Ses01F_1"), None),
        ("own", data(IEMOCAP, "Ses01F_impro01"), "iemocap"),
        ("own", data(MELD, "Ses01F_impro01"), None),
    ],
)
def test_classes_alone_make_no_benchmark(name: str, found: Data, corpus: str | None) -> None:
    """Ekman's six emotions and neutral were titled MELD, with the paper's figures beside them."""
    assert benchmark_of(name, found) == corpus


def test_what_is_left_out_is_said_where_the_classes_are_a_benchmarks() -> None:
    assert "The classes are MELD's, but nothing else" in caveat(MELD, None)
    assert caveat(MELD, "meld") == caveat(("calm", "loud"), None) == ""
