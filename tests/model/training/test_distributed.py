"""Two processes over gloo: the gradients of one on the whole batch, and a training that goes on after a kill."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bigfusion.model.kinds import settings_classes
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.network_settings.bigru import BiGRUSettings
from bigfusion.model.networks.base import build, network_class
from bigfusion.model.networks.bigfusion import BigFusion
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.folder import TRAINED, Epoch, read_history
from bigfusion.model.runs.tensors import read_tensors, write_tensors
from bigfusion.model.seed import deterministic, seed_everything
from bigfusion.model.settings import NETWORKS, network_settings
from bigfusion.model.training.distributed import Rank, processes
from bigfusion.model.training.optimise import Optimisation
from bigfusion.model.training.train import check_processes, train
from bigfusion.pipeline.errors import TrainingError
from tests.helpers.small_runs import LABELS, WIDTHS, small_data, small_model, small_training

CPU = torch.device("cpu")
BATCHES = (7, 1)
"""Twelve dialogues shared out unevenly, and one for two processes: one of them has nothing to do."""


CONTRASTS = (
    {"negatives": "dialogue"},
    {"negatives": "batch"},
    {"negatives": "batch", "positives": "label", "classify": 0.5},
)
"""The last is of the kind that ``tuned`` has: nodes are sent from process to process."""


def without_chance(contrast: dict[str, Any]) -> BigFusionSettings:
    """Views that lower no edge and no dropout: nothing that is drawn matters, and gradients can be compared."""
    return small_model(dropout=0, contrast={"rho": (0, 0), **contrast})


CASES = [(size, contrast) for size in BATCHES for contrast in CONTRASTS]


def epoch(rank: Rank, size: int, contrast: dict[str, Any], file: Path) -> None:
    """One epoch with batches of ``size``; the first process writes gradients of the last step, weights and numbers."""
    with deterministic(1):
        seed_everything(0)
        data = small_data()
        network = BigFusion(without_chance(contrast), WIDTHS, len(LABELS))
        network.fit(data.train)
        settings = small_training(batch_size=size)
        optimisation = Optimisation(network, data.train, settings, 0, rank)
        steps = optimisation.epoch(1)
        if rank.first:
            tensors = {f"weight/{name}": value.detach() for name, value in network.named_parameters()}
            tensors |= {
                f"gradient/{name}": value.grad for name, value in network.named_parameters() if value.grad is not None
            }
            write_tensors(file, tensors, steps.model_dump())


def epochs(rank: Rank, folder: Path) -> None:
    """An epoch of each case, one after the other: a process takes longer to start than all of them."""
    for case, (size, contrast) in enumerate(CASES):
        epoch(rank, size, contrast, folder / f"{rank.count}-{case}.safetensors")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case, trained by one process and by two."""
    folder = tmp_path_factory.mktemp("distributed")
    for count in (1, 2):
        with processes(count, CPU, epochs, folder) as rank:
            epochs(rank, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", range(len(CASES)), ids=[f"{size}-{'-'.join(map(str, contrast.values()))}" for size, contrast in CASES]
)
def test_gradients_and_weights_are_those_of_one_process(trained: Path, case: int) -> None:
    (one, alone, _), (two, shared, _) = (read_tensors(trained / f"{count}-{case}.safetensors") for count in (1, 2))
    assert any(name.startswith("gradient/") for name in one)
    for name, value in one.items():
        torch.testing.assert_close(
            two[name], value, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
    for name in ("loss", "gradient_norm", "parts"):
        assert shared[name] == pytest.approx(alone[name], rel=1e-4), name
    assert alone["parts"]["contrast"] > 0
    assert shared["rates"] == pytest.approx(alone["rates"], rel=1e-3)


class SecondOfTwo(Rank):
    """The second of two processes, without the first: nothing is exchanged."""

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        pass

    def sum_numbers(self, numbers: Mapping[str, float], device: torch.device) -> dict[str, float]:
        return dict(numbers)


@pytest.mark.parametrize(
    ("seed", "drawn_from"), [(4, 4_000_013 * 1_009 + 1), (5, 5_000_016 * 1_009 + 1 - 2**32), (2**32 - 1, 3_285_965_279)]
)
def test_any_seed_that_the_settings_take_seeds_several_processes(seed: int, drawn_from: int) -> None:
    data = small_data()
    network = build(BiGRUSettings(modalities=("text",), width=4), WIDTHS, len(LABELS))
    with deterministic(1):
        Optimisation(network, data.train, small_training(), seed, SecondOfTwo(1, 2)).epoch(1)
    assert torch.initial_seed() == drawn_from


@pytest.mark.parametrize("kind", sorted(settings_classes(NETWORKS)))
def test_a_network_says_whether_it_has_batch_norm_and_then_takes_one_process(kind: str, tmp_path: Path) -> None:
    settings = network_settings({"kind": kind, "modalities": ["text", "audio"]}).for_classes(LABELS)
    modules = build(settings, WIDTHS, len(LABELS)).modules()
    assert network_class(kind).batch_norm == any(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in modules)
    check_processes(settings, small_training(processes=1))
    if not network_class(kind).batch_norm:
        check_processes(settings, small_training(processes=2))
        return
    with pytest.raises(
        TrainingError, match=rf'train\.processes: expected 1 for model\.kind = "{kind}", .* found 2; set'
    ):
        train(small_data(), settings, small_training(processes=2), 0, tmp_path)
    assert not list(tmp_path.iterdir())


class KilledError(Exception):
    pass


@pytest.mark.slow
def test_two_processes_train_score_and_go_on_after_a_kill(tmp_path: Path) -> None:
    settings = small_training(processes=2, epochs=4)

    def kill(done: Epoch) -> None:
        if done.epoch == 2:
            raise KilledError

    whole = train(small_data(), small_model(), settings, 0, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(small_data(), small_model(), settings, 0, tmp_path / "killed", kill)
    assert not (tmp_path / "killed" / TRAINED).exists()
    train(small_data(), small_model(), settings, 0, tmp_path / "killed")
    histories = [
        [one.model_dump(exclude={"seconds"}) for one in read_history(tmp_path / name)] for name in ("whole", "killed")
    ]
    assert histories[0] == histories[1]
    assert len(histories[0]) == whole.epochs == 4
    weights = [read_tensors(tmp_path / name / checkpoint.TENSORS)[0] for name in ("whole", "killed")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert np.isfinite(histories[0][-1]["loss"])
