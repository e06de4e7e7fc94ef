"""A field's file with one value somewhere replaced: it is read, or refused in one line."""

import random

import numpy as np
import pytest

from bigfusion.pipeline.errors import CorpusError, UnsafePickleError
from bigfusion.pipeline.feature_files.reader import read_features
from bigfusion.pipeline.feature_files.unpickle import Record, load
from tests.helpers import field_pickles as field

FILES = {
    "mosi.pkl": field.mmsa,
    "cogmen.pkl": lambda path: field.cogmen(path, protocol=4),
    "daily_dialogue.pkl": field.daily_dialogue,
    "data_emotion.p": lambda path: field.bc_lstm(path.parent),
    "audio_emotion.pkl": lambda path: field.bc_lstm(path.parent),
    "graphsmile.pkl": field.graphsmile_meld,
    "mosei.pkl": field.graphsmile_mosei,
}
JUNK = [
    None, 0, -1, 7, 1.5, float("nan"), float("inf"), 10**30, True, "", "x", "v$_$1", b"b", [], {}, (), set(), [None],
    [[]], {"a": 1}, {0: {}}, np.zeros(0), np.zeros((0, 3)), np.zeros((3, 0, 2)), np.zeros((2, 2, 2)), np.float32(2),
    np.array("a"), np.array(["a", "b"]), np.array([None, 1], object), np.array(3), np.ones(3, complex), [1, "a"],
]  # fmt: skip


def spoil(value, random_: random.Random, depth: int = 0):
    """``value`` with one part of it replaced."""
    if isinstance(value, Record) and random_.random() < 0.95:
        name = random_.choice([*value.fields])
        value.fields[name] = spoil(value.fields[name], random_, depth + 1)
        return value
    if isinstance(value, dict | list | tuple) and len(value) and random_.random() > 0.08 * depth:
        keys = [*value] if isinstance(value, dict) else range(len(value))
        key = random_.choice(list(keys))
        changed = dict(value) if isinstance(value, dict) else list(value)
        if random_.random() < 0.1:
            del changed[key]
        else:
            changed[key] = spoil(value[key], random_, depth + 1)
        return type(value)(changed) if isinstance(value, tuple) else changed
    return random_.choice(JUNK)


@pytest.mark.parametrize("name", FILES)
def test_a_spoilt_file_is_read_or_refused_in_one_line(tmp_path, name, monkeypatch):
    path = tmp_path / name
    FILES[name](path)
    refused = 0
    for seed in range(120):
        random_ = random.Random(seed)
        spoilt = spoil(load(path), random_)
        monkeypatch.setattr("bigfusion.pipeline.feature_files.reader.load", lambda _, found=spoilt: found)
        try:
            read_features(path, regression=seed % 2 == 1)
        except (CorpusError, UnsafePickleError) as error:
            refused += 1
            assert "\n" not in str(error), seed
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    assert refused > 10
