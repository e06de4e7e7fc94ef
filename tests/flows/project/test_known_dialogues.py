"""Which dialogues a run knows: the same ones, and those that were cut or joined otherwise."""

from dataclasses import replace

import numpy as np

from bigfusion.flows.project.known_dialogues import known_among, known_dialogues, known_utterances
from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data
from tests.helpers.small_runs import LABELS, dialogue

LEARNT = [dialogue(f"train/{number}", 8, number) for number in range(3)]
OTHERS = [dialogue(f"test/{number}", 8, 10 + number) for number in range(3)]
RECORD = {
    "dialogues": known_dialogues(Data(LABELS, LEARNT[:2], LEARNT[2:], [])),
    "utterances": known_utterances(LEARNT),
}


def made_of(*parts: tuple[Dialogue, slice]) -> Dialogue:
    """A dialogue of utterances of others."""
    (first, _), *_ = parts
    cut = [(one.features, one.present, one.speakers, one.labels, where) for one, where in parts]
    return replace(
        first,
        id="other",
        utterances=tuple(name for one, where in parts for name in one.utterances[where]),
        features={name: np.concatenate([part[0][name][part[4]] for part in cut]) for name in first.features},
        present={name: np.concatenate([part[1][name][part[4]] for part in cut]) for name in first.present},
        speakers=np.concatenate([part[2][part[4]] for part in cut]),
        labels=np.concatenate([part[3][part[4]] for part in cut]),
    )


def test_the_same_dialogues_count_under_any_name_and_others_do_not():
    renamed = [replace(one, id=f"other/{one.id}") for one in LEARNT]
    assert known_among([*renamed, *OTHERS], RECORD) == 3
    assert known_among(OTHERS, RECORD) == 0
    assert known_among(OTHERS, {"dialogues": {"train": ["train/0"]}}) is None


def test_dialogues_that_were_cut_or_joined_otherwise_count():
    halves = [made_of((one, where)) for one in LEARNT for where in (slice(4), slice(4, 8))]
    assert known_among(halves, RECORD) == 6
    assert known_among([made_of((LEARNT[0], slice(4)), (LEARNT[1], slice(3)))], RECORD) == 1
    single = [made_of((one, slice(turn, turn + 1))) for one in LEARNT for turn in range(8)]
    assert known_among(single, RECORD) == 24, "one utterance each, and all are known"
    without = {name: value for name, value in RECORD.items() if name != "utterances"}
    assert known_among(halves, without) == 0, "a run of an earlier version"


def test_a_few_equal_messages_make_no_dialogue_known():
    short = made_of((LEARNT[0], slice(2)), (OTHERS[0], slice(1)))  # two of three are known
    assert known_among([short, *OTHERS], RECORD) == 0
    longer = made_of((LEARNT[0], slice(3)), (OTHERS[0], slice(2)))  # three of five
    assert known_among([longer, *OTHERS], RECORD) == 1
    again = made_of(*[(LEARNT[0], slice(1))] * 4)  # one message four times
    assert known_among([again, *OTHERS], RECORD) == 0
