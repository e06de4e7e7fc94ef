"""The rows of the table of features: which sets, and under which settings."""

import pytest

from bigfusion.model.network_settings.logistic import LogisticSettings
from bigfusion.model.reproduce.features import features
from bigfusion.model.reproduce.systems import Base
from bigfusion.model.settings import TrainSettings
from bigfusion.pipeline.errors import SettingsError

STORED = {"text": 4, "audio": 3, "audio.wavlm": 5}


def rows(**model):
    base = Base(LogisticSettings(penalty=0.2, **model), TrainSettings(seeds=(3,)), None, False, {})
    return features(base, STORED)


def test_all_each_alone_and_all_but_each():
    found = {row.key: (row.model.features, row.model.chosen(STORED)) for row in rows(modalities=("text", "audio"))}
    assert found == {
        "all": (("roberta", "opensmile", "audio.wavlm"), ["text", "audio", "audio.wavlm"]),
        "roberta": (("roberta",), ["text"]),
        "opensmile": (("opensmile",), ["audio"]),
        "wavlm": (("audio.wavlm",), ["audio.wavlm"]),
        "without_roberta": (("opensmile", "audio.wavlm"), ["audio", "audio.wavlm"]),
        "without_opensmile": (("roberta", "audio.wavlm"), ["text", "audio.wavlm"]),
        "without_wavlm": (("roberta", "opensmile"), ["text", "audio"]),
    }


def test_everything_else_is_the_callers_own():
    for row in rows():
        assert isinstance(row.model, LogisticSettings)
        assert row.model.penalty == 0.2
        assert row.train.seeds == (3,)


def test_of_two_all_but_one_is_the_other_alone():
    assert [row.key for row in rows(features=("wavlm", "opensmile"))] == ["all", "wavlm", "opensmile"]
    with pytest.raises(SettingsError, match=r"at least two features to compare, found audio\.wavlm"):
        rows(features=("wavlm",))
