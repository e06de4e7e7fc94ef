from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bigfusion.model.data.batch import UNLABELLED, collate
from bigfusion.model.network_settings.logistic import LogisticSettings
from bigfusion.model.networks.base import build
from bigfusion.model.networks.logistic import Logistic
from bigfusion.model.runs.folder import read_history
from bigfusion.model.training.train import train
from tests.helpers.network_suite import CLASSES, NetworkSuite
from tests.helpers.slow_forms import dialogue
from tests.helpers.small_runs import small_data, small_training


class TestLogistic(NetworkSuite):
    settings = LogisticSettings()


def test_it_is_that_of_scikit_learn():
    some = [dialogue(12, widths={"text": 4}, seed=seed) for seed in range(5)]
    for one in some:
        one.present["text"][:] = True
    some[0] = replace(some[0], labels=np.full(12, UNLABELLED))
    network = Logistic(LogisticSettings(modalities=("text",), penalty=0.01), {"text": 4}, CLASSES)
    network.fit(some)
    every = np.concatenate([one.features["text"] for one in some]).astype(np.float64)
    taught = np.concatenate([one.features["text"] for one in some[1:]]).astype(np.float64)
    labels = np.concatenate([one.labels for one in some[1:]])
    scaled = (taught - every.mean(0)) / every.std(0)
    trusted = LogisticRegression(C=1 / (2 * 0.01 * len(labels)), tol=1e-10, max_iter=10_000).fit(scaled, labels)
    found = network(collate([some[1]])).logits[0].softmax(-1).double()
    expected = torch.from_numpy(trusted.predict_proba(scaled[:12]))
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_it_is_trained_by_the_trainer_though_it_has_no_parameters(tmp_path):
    data = small_data()
    settings = LogisticSettings(modalities=("text", "audio"))
    trained = train(data, settings, small_training(epochs=3, average=0.5), 0, tmp_path)
    scores = {epoch.valid_weighted_f1 for epoch in read_history(tmp_path)}
    assert len(scores) == 1 and trained.best.epoch == 1 and trained.best.valid_weighted_f1 > 0.6


@pytest.mark.parametrize("seed", [0, 1])
def test_several_features_stand_side_by_side_whatever_fusion_says(seed):
    """Weights of a sum would be learned by steps, and there are none."""
    widths = {"text": 4, "text.mpnet": 3}
    talks = [dialogue(12, widths=widths, seed=number) for number in range(3)]
    torch.manual_seed(seed)
    beside, summed = (LogisticSettings(modalities=("text",), fusion=fusion) for fusion in ("concatenate", "weights"))
    one, other = (build(settings, widths, 3) for settings in (beside, summed))
    for network in (one, other):
        network.fit(talks)
    assert not list(other.parameters()) and summed.numbers() == beside.numbers()
    assert torch.equal(one(collate(talks)).logits, other(collate(talks)).logits)
