import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.layers.objectives import classification_loss
from bigfusion.model.network_settings.bigru import BiGRUSettings
from bigfusion.model.network_settings.dag_erc import DAGERCSettings
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.folder import read_history
from bigfusion.model.settings import HCLSettings, TrainSettings
from bigfusion.model.training.curriculum import HCL, buckets, curriculum, difficulty, first_targets, updated
from bigfusion.model.training.train import train
from bigfusion.pipeline.errors import TrainingError
from tests.helpers.network_suite import batch, dialogues
from tests.helpers.small_runs import small_data, small_training

IEMOCAP = ("hap", "sad", "neu", "ang", "exc", "fru")
MELD = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")


def spoken(speakers: list[int], labels: list[int], name: str = "d") -> Dialogue:
    (one,) = dialogues((len(labels),))
    return replace(one, id=name, speakers=np.array(speakers), labels=np.array(labels))


def test_difficulty_counts_each_speakers_own_shifts():
    assert difficulty(spoken([0, 0, 1, 1, 0], [0, 0, 2, 2, 1])) == Fraction(3, 7)  # A: hap hap sad, B: neu neu


def test_constant_labels_are_as_easy_as_it_gets_and_shifts_throughout_as_hard():
    assert difficulty(spoken([0, 1, 0, 1, 0], [0] * 5)) == Fraction(2, 7)
    assert difficulty(spoken([0, 1, 0, 1, 0], [0, 1, 1, 0, 0])) == Fraction(5, 7)


def test_utterances_without_a_label_are_no_shift():
    assert difficulty(spoken([0, 0, 0], [0, UNLABELLED, 0])) == difficulty(spoken([0, 0], [0, 0]))
    assert difficulty(spoken([0, 0], [UNLABELLED, UNLABELLED])) > difficulty(spoken([0, 0], [0, 1]))


def some_dialogues(count: int) -> list[Dialogue]:
    return [spoken([0, 1] * 3, [k % 2, 0, k % 3, 1, k % 4, 2], f"d{k:02}") for k in range(count)]


def test_each_stage_is_within_the_next_and_the_last_holds_all():
    some = some_dialogues(11)
    hcl = HCL(some, IEMOCAP, HCLSettings(buckets=4, epochs=2))
    lessons = [hcl.lesson(epoch).dialogues for epoch in range(1, 12)]
    assert [len(lesson) for lesson in lessons] == [3, 3, 6, 6, 9, 9, 11, 11, 11, 11, 11]
    ids = [[one.id for one in lesson] for lesson in lessons]
    for fewer, more in itertools.pairwise(ids):
        assert set(fewer) <= set(more)
    assert all(lesson == sorted(lesson) for lesson in ids)  # in the corpus's order
    hardest = max(difficulty(one) for one in lessons[0])
    assert all(difficulty(one) >= hardest for one in some if one not in lessons[0])


def test_ties_go_by_id_and_few_dialogues_make_few_stages():
    equal = [spoken([0, 1], [0, 0], name) for name in "cab"]
    assert buckets(equal, 3).tolist() == [2, 0, 1]
    assert buckets(equal, 50).max() == 2
    assert buckets(some_dialogues(6), 4).max() == 2  # ceil(6 / 4) = 2 to a bucket
    assert len(HCL(equal, IEMOCAP, HCLSettings(buckets=50)).lesson(99).dialogues) == 3


def similarities(labels: tuple[str, ...]) -> dict[tuple[str, str], float]:
    """Pairs of different labels, neutral apart, that are like each other."""
    rows = first_targets(labels)
    rows = rows / rows.diagonal()[:, None]
    np.testing.assert_allclose(rows, rows.T)
    return {
        (labels[i], labels[k]): round(rows[i, k], 3)
        for i in range(len(labels))
        for k in range(i)
        if rows[i, k] and not labels[i].startswith("neu") and not labels[k].startswith("neu")
    }


def test_labels_are_alike_as_on_the_wheel():
    assert similarities(IEMOCAP) == {("exc", "hap"): 0.809, ("fru", "sad"): 0.309}
    assert similarities(MELD) == {
        ("joy", "surprise"): 0.588,
        ("anger", "disgust"): 0.588,
        ("disgust", "fear"): 0.951,
        ("anger", "fear"): 0.309,
    }


def test_the_first_targets_are_the_hand_values():
    rows = first_targets(IEMOCAP)
    np.testing.assert_allclose(rows.sum(1), 1)
    np.testing.assert_allclose(rows[0], [0.5062, 0, 0.0844, 0, 0.4095, 0], atol=1e-4)
    np.testing.assert_allclose(first_targets(MELD)[0], np.array([7, 1, 1, 1, 1, 1, 1]) / 13)


def test_an_update_is_the_one_worked_out_by_hand():
    rows = np.array([[0.5, 0.3, 0.2], [0, 1, 0], [0, 0, 1]])
    found = updated(rows, 0.9)
    np.testing.assert_allclose(found[0], [0.689655, 0.186207, 0.124138], atol=1e-6)
    np.testing.assert_allclose(found[1:], rows[1:])
    for _ in range(100):
        rows = updated(rows, 0.9)
    np.testing.assert_allclose(rows, np.eye(3), atol=1e-5)


def test_the_targets_move_each_epoch_or_begin_again_with_each_stage():
    some, start = some_dialogues(6), first_targets(IEMOCAP)
    moved = HCL(some, IEMOCAP, HCLSettings(buckets=2, epochs=2))
    again = HCL(some, IEMOCAP, HCLSettings(buckets=2, epochs=2, restart=True))
    rows = [start]
    for _ in range(5):
        rows.append(updated(rows[-1], 0.9))
    for epoch, (global_clock, own_clock) in enumerate(zip((0, 1, 2, 3, 4), (0, 1, 0, 1, 2), strict=True), start=1):
        np.testing.assert_allclose(moved.lesson(epoch).targets, rows[global_clock], atol=1e-6)
        np.testing.assert_allclose(again.lesson(epoch).targets, rows[own_clock], atol=1e-6)


def test_after_an_update_with_eps_0_the_labels_alone_are_taught():
    hcl = HCL(some_dialogues(6), IEMOCAP, HCLSettings(decay=0.0))
    assert hcl.lesson(1).targets is not None and hcl.lesson(2).targets is None


def test_an_update_with_a_small_eps_has_the_gradients_of_cross_entropy():
    inputs, logits = batch(), torch.randn(3, 9, 3).double().requires_grad_()
    targets = torch.from_numpy(updated(first_targets(("neutral", "joy", "anger")), 1e-9))
    losses = [classification_loss(logits, each) for each in (inputs, replace(inputs, targets=targets))]
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in losses))


def test_a_label_that_is_not_on_the_wheel_is_named():
    with pytest.raises(TrainingError, match=r"label proud: expected one of .*; set train\.hcl\.targets = false"):
        HCL(some_dialogues(3), ("proud", "joy"), HCLSettings())
    HCL(some_dialogues(3), ("proud", "joy"), HCLSettings(targets=False))


def run(folder, network, **changes):
    data = small_data()
    settings = small_training(epochs=2, **changes)
    train(data, network, settings, 0, folder)
    weights = checkpoint.load(folder, torch.device("cpu")).network.state_dict()
    return [epoch.model_dump(exclude={"seconds"}) for epoch in read_history(folder)], weights


MODALITIES = ("text", "audio")
NETWORKS = [BiGRUSettings(modalities=MODALITIES, width=8), DAGERCSettings(modalities=MODALITIES, width=8, layers=1)]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda settings: settings.kind)
def test_one_bucket_and_the_labels_alone_are_the_plain_run_bit_by_bit(tmp_path, network):
    plain = run(tmp_path / "plain", network)
    idle = run(tmp_path / "idle", network, curriculum="hcl", hcl={"buckets": 1, "targets": False})
    assert idle[0] == plain[0]
    assert all(torch.equal(value, plain[1][name]) for name, value in idle[1].items())
    taught = run(tmp_path / "hcl", network, curriculum="hcl", hcl={"buckets": 3})
    assert taught[0] != plain[0]


def test_the_settings_choose_it():
    data: Data = small_data()
    assert type(curriculum(TrainSettings(), data.train, data.labels)) is not HCL
    assert type(curriculum(TrainSettings(curriculum="hcl"), data.train, data.labels)) is HCL
    assert TrainSettings().numbers().keys() == set()


def test_a_killed_training_goes_on_in_its_stage(tmp_path):
    data, network = small_data(), NETWORKS[0]
    settings = small_training(epochs=4, curriculum="hcl", hcl={"buckets": 3})

    class Killed(Exception):
        pass

    def kill(epoch):
        if epoch.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(data, network, settings, 0, tmp_path / "killed", kill)
    for name in ("killed", "whole"):
        train(data, network, settings, 0, tmp_path / name)
    killed, whole = (
        [epoch.model_dump(exclude={"seconds"}) for epoch in read_history(tmp_path / name)]
        for name in ("killed", "whole")
    )
    assert killed == whole
