"""Several features of a modality as one: by hand, and as one network reads them."""

import numpy as np
import pytest
import torch

from bigfusion.model.data.batch import Dialogue, collate
from bigfusion.model.layers.merge import Merge, WeightedSum
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.networks.base import Network
from bigfusion.pipeline.errors import TrainingError

PRESENT = {"audio": torch.tensor([True, False, False]), "audio.w": torch.tensor([True, True, False])}
ROWS = {"audio": torch.tensor([[1.0], [0.0], [0.0]]), "audio.w": torch.tensor([[2.0, 3.0], [4.0, 5.0], [0.0, 0.0]])}


def test_side_by_side_and_absent_only_where_all_are():
    merge = Merge({"audio": 1, "audio.w": 2, "text": 4})
    text = torch.ones(3, 4)
    features, present = merge({**ROWS, "text": text}, {**PRESENT, "text": torch.tensor([False] * 3)})
    assert merge.widths == {"audio": 3, "text": 4}
    assert features["audio"].tolist() == [[1, 2, 3], [0, 4, 5], [0, 0, 0]]
    assert present["audio"].tolist() == [True, True, False]
    assert features["text"] is text, "a single feature stays what it is"
    assert not list(merge.parameters())


def test_a_weighted_sum_by_hand():
    layer = WeightedSum([1, 2], 1)
    with torch.no_grad():
        for project, weight in zip(layer.projections, ([[10.0]], [[1.0, 1.0]]), strict=True):
            project.weight.copy_(torch.tensor(weight))
            project.bias.fill_(0.5)
        layer.weights.copy_(torch.tensor([np.log(3.0), 0.0]))
    found = layer([ROWS["audio"], ROWS["audio.w"]], [PRESENT["audio"], PRESENT["audio.w"]])
    # 3/4 of 10.5 and 1/4 of 5.5; then the second alone; then nothing
    assert found.flatten().tolist() == pytest.approx([0.75 * 10.5 + 0.25 * 5.5, 9.5, 0.0])
    found.sum().backward()
    assert torch.isfinite(layer.weights.grad).all()


def test_the_weights_are_learned_where_the_settings_ask_for_it():
    merge = Merge({"audio": 1, "audio.w": 2, "text": 4}, width=6)
    assert merge.widths == {"audio": 6, "text": 4}
    features, _ = merge({**ROWS, "text": torch.ones(3, 4)}, {**PRESENT, "text": torch.tensor([True] * 3)})
    assert features["audio"].shape == (3, 6)
    assert {name.split(".")[1] for name, _ in merge.named_parameters()} == {"audio"}


def dialogue(features: dict[str, np.ndarray], present: dict[str, list[bool]]) -> Dialogue:
    count = len(next(iter(features.values())))
    return Dialogue(
        "d", tuple(map(str, range(count))), features, {name: np.array(there) for name, there in present.items()},
        np.zeros(count, np.int64), np.zeros(count, np.int64),
    )  # fmt: skip


class Reading(Network):
    """Only what every network reads."""


def read(settings: NetworkSettings, talk: Dialogue):
    network = Reading(settings, {name: rows.shape[1] for name, rows in talk.features.items()})
    network.fit([talk])
    return network, network.read(collate([talk]))


def test_two_features_read_as_one_that_joins_them():
    """Standardised column by column, so where all is present two features are the same as their concatenation."""
    random = np.random.default_rng(0)
    first, second = random.normal(3, 5, (6, 2)).astype(np.float32), random.normal(-2, 0.1, (6, 3)).astype(np.float32)
    there = [True] * 6
    settings = NetworkSettings(kind="x", modalities=("audio",))  # type: ignore[arg-type]
    _, two = read(settings, dialogue({"audio": first, "audio.w": second}, {"audio": there, "audio.w": there}))
    _, one = read(settings, dialogue({"audio": np.hstack([first, second])}, {"audio": there}))
    torch.testing.assert_close(two.features["audio"], one.features["audio"])
    assert torch.equal(two.present["audio"], one.present["audio"])


def test_an_absent_part_is_the_training_mean_and_not_counted_in_it():
    first, second = np.array([[1.0], [3.0], [99.0]], np.float32), np.array([[0.0], [2.0], [4.0]], np.float32)
    talk = dialogue(
        {"audio": first, "audio.w": second}, {"audio": [True, True, False], "audio.w": [True, False, False]}
    )
    network, found = read(NetworkSettings(kind="x", modalities=("audio",)), talk)  # type: ignore[arg-type]
    # audio: mean 2, deviation 1 of the two rows that are there; audio.w was constant in training: always 0
    assert found.features["audio"].tolist() == [[-1, 0], [1, 0], [0, 0]]
    assert found.present["audio"].tolist() == [True, True, False]
    assert set(network.state_dict()) == {
        f"normalise.modalities.{name}.{part}" for name in ("audio", "audio/w") for part in ("mean", "deviation")
    }


def test_the_settings_choose_among_what_is_stored():
    stored = {"text": 1, "audio": 2, "audio.w": 3}
    assert list(Reading(NetworkSettings(kind="x", features=("w", "roberta")), stored).stored) == ["text", "audio.w"]
    assert Reading(NetworkSettings(kind="x", features=("opensmile",)), stored).widths == {"audio": 2}
    with pytest.raises(TrainingError, match=r"model\.features z: expected at least one of them, found text, audio"):
        Reading(NetworkSettings(kind="x", features=("z",)), stored)
    with pytest.raises(TrainingError, match="modality visual: expected features"):
        Reading(NetworkSettings(kind="x"), stored)
