"""A network comes back from its folder alone, or one line says why not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bigfusion.model.network_settings.logistic import LogisticSettings
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.folder import Epoch, seed_folder
from bigfusion.model.runs.tensors import read_tensors, write_tensors
from bigfusion.model.scoring.modalities import stand_in
from bigfusion.model.scoring.predict import predict
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import FeatureName
from tests.helpers.small_runs import small_data, small_run

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("run"), small_data(), epochs=1)


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(seed_folder(run, 0), tmp_path / "seed-0")
    return tmp_path / "seed-0"


def test_a_network_comes_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    found = checkpoint.load(folder, CPU)
    assert found.facts.labels == ("neutral", "joy", "anger")
    assert found.facts.widths == {"text": 6, "audio": 3}
    assert not found.network.training
    checkpoint.save(tmp_path / "again", found.network, found.facts)
    again = checkpoint.load(tmp_path / "again", CPU)
    assert again.facts == found.facts
    dialogues = small_data().test
    assert torch.equal(predict(again.network, dialogues, CPU, 8), predict(found.network, dialogues, CPU, 8))


def test_predictions_follow_the_dialogues_order_and_not_their_batches(folder: Path) -> None:
    network, dialogues = checkpoint.load(folder, CPU).network, small_data().train
    together = predict(network, dialogues, CPU, 5)
    alone = torch.cat([predict(network, [one], CPU, 1) for one in dialogues])
    assert together.shape == (sum(len(one) for one in dialogues), 3)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_fitted_means_travel_with_the_network(folder: Path) -> None:
    tensors, _, _ = read_tensors(folder / checkpoint.TENSORS)
    text = torch.cat([torch.from_numpy(one.features["text"]) for one in small_data().train])
    (mean,) = (tensor for name, tensor in tensors.items() if name.endswith("text.mean"))
    torch.testing.assert_close(mean, text.mean(0), rtol=1e-4, atol=1e-5)


def test_what_stands_in_for_one_of_several_features_is_the_modalitys_others(folder: Path) -> None:
    facts = checkpoint.load(folder, CPU).facts
    assert facts.absent is not None and facts.absent["text"] == 0 < facts.absent["audio"]
    audio, more = FeatureName("audio"), FeatureName("audio.w")
    several = facts.model_copy(update={"widths": facts.widths | {"audio.w": 4}})
    assert "the other audio features alone" in stand_in(more, ["audio.w"], several)
    assert "the learned absent vector" in stand_in(more, ["audio.w", "audio"], several)
    assert "the learned absent vector" in stand_in(audio, ["audio"], facts)
    assert "never learned" in stand_in(FeatureName("text"), ["text"], facts)
    fitted = facts.model_copy(update={"model": LogisticSettings(modalities=("text", "audio"))})
    assert stand_in(audio, ["audio"], fitted) == "every row is scored with its training mean"


def test_damage_is_named(folder: Path) -> None:
    path = folder / checkpoint.TENSORS
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors: its content differs from its checksum"):
        checkpoint.load(folder, CPU)


def test_two_files_of_different_networks_are_told_apart(folder: Path, run: Path) -> None:
    shutil.copy(seed_folder(run, 1) / checkpoint.TENSORS, folder)
    with pytest.raises(TrainingError, match=r"is not the one that checkpoint\.json was written for"):
        checkpoint.load(folder, CPU)


def rewrite(folder: Path, **changes: object) -> None:
    facts = json.loads((folder / checkpoint.FACTS).read_text())
    (folder / checkpoint.FACTS).write_text(json.dumps(facts | changes))


def test_another_format_is_named(folder: Path) -> None:
    rewrite(folder, format=99)
    with pytest.raises(TrainingError, match="expected format 1, found 99"):
        checkpoint.load(folder, CPU)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / checkpoint.FACTS).unlink()
    with pytest.raises(TrainingError, match=r"checkpoint\.json: expected this file, found none"):
        checkpoint.load(folder, CPU)


def test_tensors_that_do_not_fit_are_named(folder: Path) -> None:
    tensors, facts, _ = read_tensors(folder / checkpoint.TENSORS)
    name = next(iter(tensors))
    del tensors[name]
    rewrite(folder, tensors=write_tensors(folder / checkpoint.TENSORS, tensors, facts))
    with pytest.raises(TrainingError, match=r"does not fit the network of checkpoint\.json: Missing key") as error:
        checkpoint.load(folder, CPU)
    assert "\n" not in str(error.value)


def test_facts_and_histories_of_the_old_layout_are_read():
    """Before a network was a file, ``model`` named no kind, and an epoch's loss had two parts beside it."""
    line = (
        '{"loss": 3.0, "cross_entropy": 2.0, "contrast": 2.0, "gradient_norm": 1.0, "learning_rate": 0.1, "rates": {},'
        ' "epoch": 1, "valid_loss": 1.5, "valid_weighted_f1": 0.4, "valid_accuracy": 0.5, "seconds": 2.0}'
    )
    assert Epoch.model_validate_json(line).parts == {"cross_entropy": 2.0, "contrast": 2.0}
    facts = (
        '{"format": 1, "seed": 0, "epoch": 3, "valid_weighted_f1": 0.5, "labels": ["a", "b"], "widths": {"text": 4},'
        ' "model": {"modalities": ["text"], "width": 8, "heads": 2, "contrast": {"rho": [0.6, 0.3], "weight": 0.5}},'
        ' "train": {}, "data": {"digest": "d", "splits": {}}, "versions": {}, "tensors": "t"}'
    )
    model = checkpoint.CheckpointFacts.model_validate_json(facts).model
    assert (model.kind, model.width, model.contrast.kind, model.contrast.rho) == (
        "bigfusion", 8, "dual_importance", (0.6, 0.3),
    )  # fmt: skip


def test_utterances_without_a_modality_are_counted_over_all_of_its_features() -> None:
    """Absent is what has no feature of the modality; a checkpoint tells it of its training dialogues."""
    here = {"text": [True, False, False], "text.mpnet": [True, True, False], "audio": [True, True, True]}
    talk = replace(
        small_data().train[0],
        features={name: np.zeros((3, 2), np.float32) for name in here},
        present={name: np.array(rows) for name, rows in here.items()},
    )
    both = [FeatureName(name) for name in here]
    assert checkpoint.absent_rows([talk, talk], both) == {"text": 2, "audio": 0}
    assert checkpoint.absent_rows([talk], [FeatureName("text"), FeatureName("audio")]) == {"text": 2, "audio": 0}
