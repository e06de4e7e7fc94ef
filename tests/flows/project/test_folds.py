from pathlib import Path

import numpy as np
import pytest

from bigfusion.flows.project.folds import fold_folders, leave_out
from bigfusion.pipeline.errors import TrainingError
from tests.helpers.small_runs import LABELS, dialogue

DIALOGUES = [dialogue(f"d{number}", 1 + number % 3, number) for number in range(20)]
FOLD = {f"d{number}": "abcd"[number // 5] for number in range(20)}


def names(dialogues):
    return [one.id for one in dialogues]


def test_each_fold_is_tested_once_and_never_trained_on():
    parts = {name: leave_out(name, DIALOGUES, FOLD, LABELS, 0.2) for name in "abcd"}
    assert sorted(name for part in parts.values() for name in names(part.test)) == sorted(FOLD)
    for name, part in parts.items():
        assert names(part.test) == [key for key in FOLD if FOLD[key] == name]
        assert len(part.valid) == 3
        assert len(part.train) == 12
        assert not {*names(part.train)} & {*names(part.valid)}
        assert name not in {FOLD[key] for key in (*names(part.train), *names(part.valid))}
        assert names(part.train) == [key for key in FOLD if key in {*names(part.train)}], "in the corpus's order"


def test_validation_dialogues_are_of_several_folds_and_do_not_depend_on_the_order():
    part = leave_out("a", DIALOGUES, FOLD, LABELS, 0.4)
    assert len({FOLD[name] for name in names(part.valid)}) > 1, "the last ones would all be d's"
    order = np.random.default_rng(0).permutation(20)
    other = leave_out("a", [DIALOGUES[place] for place in order], FOLD, LABELS, 0.4)
    assert {*names(other.valid)} == {*names(part.valid)}


def test_a_fold_that_leaves_nothing_to_learn_from_is_refused():
    with pytest.raises(TrainingError, match="expected at least 2 dialogues"):
        leave_out("a", DIALOGUES[:6], FOLD, LABELS, 0.1)


def test_a_fold_s_folder_is_named_after_it_if_that_is_a_folder_s_name():
    run = Path("run")
    assert fold_folders(run, ["03", "Ann B."]) == {"03": run / "fold-03", "Ann B.": run / "fold-Ann-B."}
    assert fold_folders(run, ["a/b", "a b"]) == {"a/b": run / "fold-number-1", "a b": run / "fold-number-2"}
    assert fold_folders(run, ["李", "王"]) == {"李": run / "fold-number-1", "王": run / "fold-number-2"}
