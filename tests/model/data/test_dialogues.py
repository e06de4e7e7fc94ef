"""Hold-out, digest and the checks before training."""

from dataclasses import replace

import numpy as np
import pytest

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.data.dialogues import Data, check, hold_out, true_labels
from bigfusion.pipeline.errors import TrainingError
from tests.helpers.small_runs import dialogue, small_data, small_model


@pytest.mark.parametrize(("total", "share", "held"), [(120, 0.1, 12), (1038, 0.1, 104), (3, 0.1, 1), (2, 0.9, 1)])
def test_hold_out_takes_the_last_share(total: int, share: float, held: int) -> None:
    everything = [dialogue(f"dia{k}", 1, k) for k in range(total)]
    train, valid = hold_out(everything, share)
    assert len(valid) == held
    assert [*train, *valid] == everything


@pytest.mark.parametrize("total", [0, 1])
def test_hold_out_needs_two_dialogues(total: int) -> None:
    with pytest.raises(TrainingError, match=rf"split train: expected at least 2 dialogues .* found {total}"):
        hold_out([dialogue("dia0", 3, 0)] * total, 0.1)


def test_the_digest_changes_with_whatever_training_reads() -> None:
    data = small_data()
    first = data.train[0]
    features = {name: array.copy() for name, array in first.features.items()}
    features["text"][0, 0] += 1
    others = [
        replace(data, labels=("neutral", "joy", "sadness")),
        replace(data, train=data.train[::-1]),
        replace(data, train=data.train[:-1], valid=[data.train[-1], *data.valid]),
        *(
            replace(data, train=[changed, *data.train[1:]])
            for changed in (
                replace(first, features=features),
                replace(first, labels=(first.labels + 1) % 3),
                replace(first, speakers=1 - first.speakers),
                replace(first, utterances=("other", *first.utterances[1:])),
                replace(first, present=first.present | {"text": ~first.present["text"]}),
            )
        ),
    ]
    digests = {data.digest(), *(other.digest() for other in others)}
    assert len(digests) == len(others) + 1
    assert small_data().digest() == data.digest()


def test_what_an_absent_row_holds_does_not_count() -> None:
    data = small_data()
    place = next(place for place, one in enumerate(data.train) if not one.present["audio"].all())
    found = data.train[place]
    audio = np.where(found.present["audio"][:, None], found.features["audio"], np.nan)
    other = replace(found, features=found.features | {"audio": audio})
    changed = replace(data, train=[*data.train[:place], other, *data.train[place + 1 :]])
    assert changed.digest() == data.digest()


def test_the_validation_split_alone_is_marked_whatever_its_dialogues_were_before() -> None:
    data = small_data()
    dealt_anew = Data(data.labels, data.valid, data.test, data.train)
    for each in (data, dealt_anew, replace(data, test=data.valid)):
        assert all(one.validation for one in each.valid)
        assert not any(one.validation for one in (*each.train, *each.test))


def test_good_data_pass() -> None:
    check(small_data(), small_model())
    assert len(true_labels(small_data().valid)) == 6 + 7 + 8
    assert true_labels([]).shape == (0,)


def bad_data() -> dict[str, tuple[Data, str]]:
    data = small_data()
    first, rest = data.train[0], data.train[1:]
    mute = [replace(one, labels=np.full(len(one), UNLABELLED)) for one in data.train]
    narrow = {"text": first.features["text"][:, :2], "audio": first.features["audio"]}
    return {
        "no train": (replace(data, train=[]), "split train: expected at least one dialogue"),
        "no valid": (replace(data, valid=[]), "split valid: .* hold some training dialogues out"),
        "no labels": (replace(data, train=mute), "split train: expected labelled utterances"),
        "wrong width": (
            replace(data, train=[*rest, replace(first, features=narrow)]),
            r"dialogue train/dia0: expected features of shapes .*\(3, 6\).*found .*\(3, 2\)",
        ),
        "wrong label": (
            replace(data, train=[*rest, replace(first, labels=first.labels + 7)]),
            "dialogue train/dia0: expected labels 0 to 2",
        ),
        "wrong length": (
            replace(data, train=[*rest, replace(first, speakers=first.speakers[:-1])]),
            r"dialogue train/dia0: .* found lengths \[2, 3\]",
        ),
        "empty dialogue": (replace(data, test=[dialogue("empty", 0, 0)]), "dialogue empty: expected features"),
    }


@pytest.mark.parametrize("case", bad_data())
def test_bad_data_are_named(case: str) -> None:
    data, message = bad_data()[case]
    with pytest.raises(TrainingError, match=message):
        check(data, small_model())


def test_a_modality_without_features_is_named() -> None:
    with pytest.raises(TrainingError, match="modality visual: expected features, found those of text, audio"):
        check(small_data(), small_model(modalities=("text", "visual")))
