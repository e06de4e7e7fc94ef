import warnings
from dataclasses import replace

import numpy as np
import torch

from bigfusion.model.data.batch import UNLABELLED, collate
from tests.helpers.slow_forms import dialogue

WIDTHS = {"text": 4, "visual": 2}


def test_dialogues_stand_first_in_their_rows_and_padding_behind():
    dialogues = [dialogue(length, widths=WIDTHS) for length in (3, 5, 1)]
    batch = collate(dialogues)
    assert batch.mask.tolist() == [[place < len(one) for place in range(5)] for one in dialogues]
    for row, one in enumerate(dialogues):
        for name in WIDTHS:
            kept = np.where(one.present[name][:, None], one.features[name], 0)
            np.testing.assert_array_equal(batch.features[name][row, : len(one)], kept)
            assert batch.features[name][row, len(one) :].abs().sum() == 0
            np.testing.assert_array_equal(batch.present[name][row, : len(one)], one.present[name])
            assert not batch.present[name][row, len(one) :].any()
        np.testing.assert_array_equal(batch.speakers[row, : len(one)], one.speakers)
        np.testing.assert_array_equal(batch.labels[row, : len(one)], one.labels)
        assert (batch.labels[row, len(one) :] == UNLABELLED).all()


def test_pad_to_is_a_least_length():
    dialogues = [dialogue(length, widths=WIDTHS) for length in (3, 5)]
    assert collate(dialogues, pad_to=9).mask.shape == (2, 9)
    assert collate(dialogues, pad_to=4).mask.shape == (2, 5)


def test_absent_rows_become_zeros_whatever_they_hold():
    one = dialogue(6, widths=WIDTHS)
    spoilt = {name: np.where(one.present[name][:, None], one.features[name], np.nan) for name in WIDTHS}
    batch = collate([replace(one, features=spoilt)])
    assert all(torch.equal(batch.features[name], collate([one]).features[name]) for name in WIDTHS)


def test_arrays_that_cannot_be_written_are_copied():
    one = dialogue(4, widths=WIDTHS)
    for array in (one.speakers, one.labels, *one.features.values(), *one.present.values()):
        array.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = collate([one])
    batch.labels.fill_(UNLABELLED)
    assert (one.labels >= 0).all()


def test_a_batch_moves_whole():
    batch = collate([dialogue(3, widths=WIDTHS)]).to(torch.device("meta"))
    tensors = [batch.mask, batch.speakers, batch.labels, *batch.features.values(), *batch.present.values()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
