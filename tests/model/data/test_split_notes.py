"""A lopsided split is said before anybody believes its score."""

from __future__ import annotations

import dataclasses

import numpy as np

from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.data.split_notes import notes, speaker_notes
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.network_settings.cogmen import COGMENSettings
from bigfusion.model.network_settings.discriminant import DiscriminantSettings
from bigfusion.model.network_settings.ga2mif import GA2MIFSettings
from bigfusion.model.network_settings.logistic import LogisticSettings


def dialogue(name: str, *labels: int) -> Dialogue:
    rows = len(labels)
    return Dialogue(
        id=name,
        utterances=tuple(f"{name}_{turn}" for turn in range(rows)),
        features={"text": np.zeros((rows, 2), np.float32)},
        present={"text": np.ones(rows, np.bool_)},
        speakers=np.zeros(rows, np.int64),
        labels=np.array(labels, np.int64),
    )


LABELS = ("angry", "happy", "sad")
TRAIN = [dialogue("a", 0, 1, 2), dialogue("b", 0, 1, -1)]
BALANCED = dialogue("v", *([0, 1, 2] * 7))
STEPS = BigFusionSettings()


def test_splits_that_have_every_class_need_no_note():
    assert notes(Data(LABELS, TRAIN, [BALANCED], [BALANCED]), STEPS) == ()


def test_a_class_that_validation_lacks_is_named():
    assert notes(Data(LABELS, TRAIN, [dialogue("v", 0, 0, -1)], []), STEPS) == (
        "validation (2 labelled utterances in 1 dialogue) has no happy, sad: the epoch is chosen without",
    )


def test_a_class_that_training_lacks_is_named_with_the_split_that_has_it():
    train = [dialogue("a", 0, 1)]
    assert notes(Data(LABELS, train, [BALANCED], [BALANCED]), STEPS) == (
        "split valid has sad, which no training utterance has: none of them can be predicted",
        "split test has sad, which no training utterance has: none of them can be predicted",
    )


def test_a_small_validation_is_named():
    assert notes(Data(LABELS, TRAIN, [dialogue("v", 0, 1, 2)], []), STEPS) == (
        "validation is 3 labelled utterances in 1 dialogue: little to choose an epoch by",
    )


def test_networks_that_are_fitted_at_once_choose_no_epoch_and_may_learn_from_validation():
    data = Data(LABELS, [dialogue("a", 0, 1)], [dialogue("v", 0, 2)], [dialogue("t", 2)])
    unseen = "split {} has sad, which no training utterance has: none of them can be predicted"
    assert notes(data, LogisticSettings()) == (unseen.format("valid"), unseen.format("test"))
    assert notes(data, DiscriminantSettings()) == (unseen.format("valid"),)
    assert len(notes(data, STEPS)) == 3


def test_numbers_have_no_classes():
    numbers = dataclasses.replace(TRAIN[0], labels=np.zeros(3, np.int64), values=np.zeros(3, np.float32))
    assert notes(Data(("value",), [numbers], [numbers], []), STEPS) == ()


def test_speakers_beyond_those_that_a_network_tells_apart_are_counted():
    crowd = dataclasses.replace(dialogue("c", 0, 1, 2, 0), speakers=np.array([0, 1, 2, 4]))
    data = Data(LABELS, TRAIN, [BALANCED], [crowd])
    settings = GA2MIFSettings(speakers=2)
    assert speaker_notes(data, settings) == (
        "model.speakers = 2: 1 of 4 dialogues have more speakers, up to 4; from number 2 on they count as one",
    )
    assert speaker_notes(data, settings.model_copy(update={"speakers": 4})) == ()
    assert speaker_notes(data, COGMENSettings(relations="order")) == speaker_notes(data, BigFusionSettings()) == ()
    pairs = BigFusionSettings.model_validate({"graph": {"relations": "pairs", "speakers": 3}})
    assert speaker_notes(data, pairs)[0].startswith("model.graph.speakers = 3: 1 of 4")
