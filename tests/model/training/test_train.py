"""Training: what it writes, that it is deterministic, continues exactly, and never looks at the test labels."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.data.dialogues import Data
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.network_settings.logistic import LogisticSettings
from bigfusion.model.networks.base import Network
from bigfusion.model.networks.bigfusion import BigFusion
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.folder import (
    CHECKPOINT,
    HISTORY,
    TEST_EPOCHS,
    TRAINED,
    Epoch,
    Trained,
    finished_seeds,
    read_history,
    seed_folder,
)
from bigfusion.model.runs.tensors import read_tensors
from bigfusion.model.settings import TrainSettings
from bigfusion.model.training.early_stopping import TrainingHistory
from bigfusion.model.training.events import FOLDER
from bigfusion.model.training.neurons import examine
from bigfusion.model.training.optimise import Optimisation, batches, learning_rate
from bigfusion.model.training.resume import STATE
from bigfusion.model.training.train import train
from bigfusion.pipeline.errors import TrainingError
from tests.helpers.small_runs import small_data, small_model, small_training

CPU = torch.device("cpu")


def short(**changes: object) -> TrainSettings:
    """Three epochs, of which the second is the best."""
    return small_training(**{"epochs": 3, "learning_rate": 0.05} | changes)


def run_seed(folder: Path, data: Data | None = None, seed: int = 0, **changes: object) -> Trained:
    return train(data or small_data(), small_model(), short(**changes), seed, folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seed that was trained at one go; nobody writes here."""
    folder = tmp_path_factory.mktemp("whole")
    run_seed(folder)
    return folder


def contents(folder: Path) -> dict[str, object]:
    """Everything in a seed's folder, but for the seconds that it took."""
    history = [epoch.model_dump(exclude={"seconds"}) for epoch in read_history(folder)]
    weights = {name: tensor.tolist() for name, tensor in read_tensors(folder / checkpoint.TENSORS)[0].items()}
    facts = json.loads((folder / checkpoint.FACTS).read_text())
    classes = read_tensors(folder / TEST_EPOCHS)[0]["classes"].tolist()
    trained = json.loads((folder / TRAINED).read_text())
    del trained["best"]["seconds"]
    return {"history": history, "weights": weights, "facts": facts, "test": classes, "trained": trained}


@pytest.mark.parametrize(("settings", "seconds"), [(LogisticSettings(modalities=("text",)), 7), (small_model(), 0)])
def test_the_seconds_of_an_epoch_hold_the_fit_of_a_network_that_is_fitted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: NetworkSettings, seconds: float
) -> None:
    """Its one epoch looked as if it cost nothing: the table had 0.03 s where the fit took 0.3."""
    clock, prepare = SettableClock(), Network.prepare
    monkeypatch.setattr("bigfusion.model.training.train.time", clock)
    monkeypatch.setattr(Network, "prepare", lambda self, *splits: (clock.pass_by(7), prepare(self, *splits)))
    train(small_data(), settings, short(epochs=2), 0, tmp_path)
    assert {epoch.seconds for epoch in read_history(tmp_path)} == {seconds}


class SettableClock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now


def test_a_trained_seed_leaves_its_files(tmp_path: Path) -> None:
    seen: list[Epoch] = []
    data = small_data()
    trained = train(data, small_model(), short(), 0, tmp_path, seen.append)

    assert {path.name for path in tmp_path.iterdir()} == {
        HISTORY,
        TEST_EPOCHS,
        TRAINED,
        FOLDER,
        checkpoint.TENSORS,
        checkpoint.FACTS,
    }
    history = read_history(tmp_path)
    assert history == seen
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    best = max(epoch.valid_weighted_f1 for epoch in history)
    assert trained.best == next(epoch for epoch in history if epoch.valid_weighted_f1 == best)
    facts = checkpoint.load(tmp_path, CPU).facts
    assert (facts.epoch, facts.valid_weighted_f1, facts.seed) == (trained.best.epoch, best, 0)
    assert facts.data.splits["train"].labels == {
        label: sum(int((one.labels == index).sum()) for one in data.train) for index, label in enumerate(data.labels)
    }
    classes = read_tensors(tmp_path / TEST_EPOCHS)[0]["classes"]
    assert classes.shape == (3, sum(len(one) for one in data.test))


def test_it_learns(tmp_path: Path) -> None:
    trained = run_seed(tmp_path, epochs=8)
    history = read_history(tmp_path)
    assert history[-1].parts["cross_entropy"] < 0.6 * history[0].parts["cross_entropy"]
    assert trained.best.valid_weighted_f1 > 0.75  # the majority class alone scores below 0.4


def test_the_loss_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    run_seed(tmp_path, epochs=2)
    for epoch in read_history(tmp_path):
        assert epoch.parts["contrast"] > 0
        assert epoch.loss == pytest.approx(epoch.parts["cross_entropy"] + 0.5 * epoch.parts["contrast"], rel=1e-6)
        assert set(epoch.rates) == {"layer1.query", "layer1.key", "layer1.value"}
        assert all(0 <= rate <= 1 for rate in epoch.rates.values())


def test_the_same_seed_trains_the_same_network(tmp_path: Path) -> None:
    run_seed(tmp_path / "one", epochs=2)
    torch.rand(5)  # whatever the caller drew before does not matter
    run_seed(tmp_path / "two", epochs=2)
    run_seed(tmp_path / "three", seed=1, epochs=2)
    one, two, three = (contents(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert one["weights"] != three["weights"]


class KilledError(Exception):
    """Stands for a kill: nothing of the training runs after it."""


def kill_after(epoch: int) -> Callable[[Epoch], None]:
    def progress(done: Epoch) -> None:
        if done.epoch == epoch:
            raise KilledError

    return progress


def killed(folder: Path, kills: tuple[int, ...], **changes: object) -> dict[str, object]:
    """The contents of a run that was killed after each of these epochs, and then finished."""
    settings = short(**changes)
    for epoch in kills:
        with pytest.raises(KilledError):
            train(small_data(), small_model(), settings, 0, folder, kill_after(epoch))
        assert not (folder / TRAINED).exists()
        torch.manual_seed(epoch)  # another process: other generators
    seen: list[Epoch] = []
    train(small_data(), small_model(), settings, 0, folder, seen.append)
    assert [epoch.epoch for epoch in seen] == list(range(kills[-1] + 1, settings.epochs + 1))
    return contents(folder)


@pytest.mark.parametrize("kills", [(1, 2), (3,)])
def test_a_killed_run_continues_bit_for_bit(tmp_path: Path, whole: Path, kills: tuple[int, ...]) -> None:
    assert killed(tmp_path, kills) == contents(whole)


def test_a_killed_run_continues_bit_for_bit_with_its_average(tmp_path: Path) -> None:
    run_seed(tmp_path / "whole", average=0.9)
    assert killed(tmp_path / "killed", (1, 2), average=0.9) == contents(tmp_path / "whole")


def test_the_average_follows_the_weights_fast_at_first() -> None:
    data, settings = small_data(), short(average=0.15, batch_size=6, learning_rate=0.1)
    torch.manual_seed(0)
    network = BigFusion(small_model(), data.widths, len(data.labels))
    network.fit(data.train)
    optimisation = Optimisation(network, data.train[:6], settings, seed=0)  # one step an epoch
    expected = [weight.detach().clone() for weight in network.parameters()]
    for epoch, decay in enumerate([1 / 10, 0.15, 0.15], start=1):  # (1 + t) / (10 + t), at most the setting
        optimisation.epoch(epoch)
        expected = [
            decay * one + (1 - decay) * other for one, other in zip(expected, network.parameters(), strict=True)
        ]
        torch.testing.assert_close(list(optimisation.scored.parameters()), expected)
    assert torch.equal(optimisation.scored.normalise.modalities["text"].mean, network.normalise.modalities["text"].mean)


def test_without_an_average_the_network_itself_is_scored() -> None:
    data = small_data()
    network = BigFusion(small_model(), data.widths, len(data.labels))
    assert Optimisation(network, data.train, short(), seed=0).scored is network


def test_a_kill_before_the_checkpoint_was_written_loses_nothing(tmp_path: Path, whole: Path) -> None:
    best = max(read_history(whole), key=lambda epoch: epoch.valid_weighted_f1).epoch
    (tmp_path / f".{STATE}.4711.tmp").write_bytes(b"half a file")
    with pytest.raises(KilledError):
        train(small_data(), small_model(), short(), 0, tmp_path, kill_after(best))
    for path in tmp_path.iterdir():  # as if the kill had come right after the state was stored
        if path.is_file() and path.name != STATE:
            path.unlink()
    run_seed(tmp_path)
    assert contents(tmp_path) == contents(whole)


def test_a_training_takes_one_thread_unless_told_otherwise_so_its_bits_do_not_depend_on_the_machine(tmp_path) -> None:
    seen: list[int] = []
    torch.set_num_threads(2)
    try:
        settings = short(threads=TrainSettings().threads, epochs=2)
        train(small_data(), small_model(), settings, 0, tmp_path, lambda epoch: seen.append(torch.get_num_threads()))
        assert seen == [1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_finished_seed_is_returned_as_it_is(tmp_path: Path) -> None:
    first = run_seed(tmp_path, epochs=1)
    seen: list[Epoch] = []
    settings = short(seeds=(0, 1), threads=2, epochs=1)  # more seeds or threads are no other training
    assert train(small_data(), small_model(), settings, 0, tmp_path, seen.append) == first
    assert not seen


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(small_data(), small_model(), short(epochs=2), 0, tmp_path, kill_after(1))
    with pytest.raises(TrainingError, match="holds a started run with other settings"):
        run_seed(tmp_path, epochs=2, learning_rate=0.1)
    run_seed(tmp_path, epochs=2)
    with pytest.raises(TrainingError, match="holds a finished run with other settings"):
        run_seed(tmp_path, epochs=2, learning_rate=0.1)
    with pytest.raises(TrainingError, match="holds a finished run with other settings"):
        run_seed(tmp_path, data=small_data(test=2), epochs=2)


def test_the_test_labels_are_never_looked_at(tmp_path: Path, whole: Path) -> None:
    data = small_data()
    run_seed(tmp_path, replace(data, test=[replace(one, labels=(one.labels + 1) % 3) for one in data.test]))
    one, two = contents(whole), contents(tmp_path)
    for same in ("history", "weights", "test"):
        assert one[same] == two[same]


def test_a_corpus_without_a_test_split_trains(tmp_path: Path) -> None:
    run_seed(tmp_path, small_data(test=0), epochs=2)
    assert not (tmp_path / TEST_EPOCHS).exists()
    assert len(read_history(tmp_path)) == 2


def test_dialogues_without_a_label_do_no_harm(tmp_path: Path) -> None:
    data = small_data()
    mute = [replace(one, labels=np.full(len(one), UNLABELLED)) for one in data.train[:5]]
    run_seed(tmp_path, replace(data, train=[*mute, *data.train[5:]]), batch_size=1, epochs=1)
    assert all(np.isfinite(epoch.loss) for epoch in read_history(tmp_path))


def test_bfloat16_trains(tmp_path: Path, whole: Path) -> None:
    run_seed(tmp_path, precision="bfloat16")
    half, single = read_history(tmp_path), read_history(whole)
    assert half[0].loss != single[0].loss
    assert half[-1].loss == pytest.approx(single[-1].loss, rel=0.1)


def test_tensorboard_shows_each_epoch_once_whatever_was_killed(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(small_data(), small_model(), short(), 0, tmp_path, kill_after(2))
    run_seed(tmp_path)
    events = EventAccumulator(str(tmp_path / FOLDER)).Reload()
    history = read_history(tmp_path)
    assert [(event.step, event.value) for event in events.Scalars("valid/weighted F1")] == [
        (epoch.epoch, pytest.approx(epoch.valid_weighted_f1)) for epoch in history
    ]
    for layer, rate in history[2].rates.items():
        assert events.Scalars(f"firing/{layer}")[2].value == pytest.approx(rate)


def test_dead_and_saturated_neurons_are_counted(tmp_path: Path) -> None:
    assert run_seed(tmp_path / "as it is", epochs=1).neurons["layer1.key"].count == 8
    data = small_data()
    network = checkpoint.load(tmp_path / "as it is", CPU).network
    current = network.transformer.layers[0].attention.query_key_value
    with torch.no_grad():
        current.weight.zero_()
        current.bias.fill_(0.45)  # below the threshold at first, above it once it has been charged twice
        current.bias[:3] = -1.0  # three neurons of the query never fire
        current.bias[8:13] = 9.0  # five of the key always do
    found = examine(network, data.valid, CPU)
    assert {name: (one.count, one.dead, one.saturated) for name, one in found.items()} == {
        "layer1.query": (8, 3, 0),
        "layer1.key": (8, 0, 5),
        "layer1.value": (8, 0, 0),
    }
    assert network.training is False
    plain = train(data, small_model(spiking={"enabled": False}), short(epochs=1), 0, tmp_path / "plain")
    assert plain.neurons == {}


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="inductor needs a C++ compiler")
@pytest.mark.slow
def test_a_compiled_network_trains_the_same_way(tmp_path: Path) -> None:
    # without dropout and contrast nothing random is drawn, and the compiled network's numbers can be compared
    # and there is less to compile of two time steps than of four
    settings = small_model(dropout=0, contrast={"enabled": False}, spiking={"steps": 2})
    for name, compiled in (("compiled", True), ("plain", False)):
        train(small_data(), settings, short(compile=compiled, epochs=2), 0, tmp_path / name)
    compiled, plain = read_history(tmp_path / "compiled"), read_history(tmp_path / "plain")
    assert [epoch.loss for epoch in compiled] == pytest.approx([epoch.loss for epoch in plain], rel=1e-3)
    assert set(read_tensors(tmp_path / "compiled" / checkpoint.TENSORS)[0]) == set(
        read_tensors(tmp_path / "plain" / checkpoint.TENSORS)[0]
    )


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"seed 0, epoch \d: expected a finite loss, found .*learning_rate"):
        run_seed(tmp_path, learning_rate=1e30, warmup=0)


def test_an_unknown_device_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"device 'gpu': expected auto, cpu, cuda or cuda:N"):
        run_seed(tmp_path, device="gpu")
    with pytest.raises(TrainingError, match=r"device cuda:99: expected cpu or one of \d+ CUDA devices"):
        run_seed(tmp_path, device="cuda:99")


def epoch_of(number: int, weighted_f1: float) -> Epoch:
    losses = {"loss": 1, "cross_entropy": 1, "contrast": 0, "gradient_norm": 1, "learning_rate": 1, "valid_loss": 1}
    return Epoch(epoch=number, valid_weighted_f1=weighted_f1, valid_accuracy=0, rates={}, seconds=0, **losses)


def progress_of(*weighted_f1: float) -> TrainingHistory:
    return TrainingHistory(
        tuple(epoch_of(number, value) for number, value in enumerate(weighted_f1, 1)), torch.empty(0, 0)
    )


def test_the_first_of_equally_good_epochs_is_chosen() -> None:
    assert progress_of(0.1, 0.5, 0.3, 0.5).best.epoch == 2


@pytest.mark.parametrize(
    ("scores", "over"), [((), False), ((0.5,), False), ((0.5, 0.4), False), ((0.5, 0.4, 0.5), True), ((0.1,) * 9, True)]
)
def test_training_stops_when_patience_or_epochs_are_used_up(scores: tuple[float, ...], over: bool) -> None:
    assert progress_of(*scores).over(epochs=9, patience=2) is over


def test_it_really_stops_early(tmp_path: Path) -> None:
    trained = run_seed(tmp_path, learning_rate=1e-12, patience=2, epochs=6)
    assert (trained.best.epoch, trained.epochs) == (1, 3)


def test_the_learning_rate_rises_and_falls() -> None:
    linear = TrainSettings(learning_rate=1.0, warmup=0.2)
    assert [learning_rate(linear, step, 10) for step in range(10)] == pytest.approx(
        [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    )
    constant = TrainSettings(learning_rate=1.0, warmup=0.0, schedule="constant")
    assert {learning_rate(constant, step, 10) for step in range(10)} == {1.0}
    only_rising = TrainSettings(learning_rate=1.0, warmup=1.0)
    assert [learning_rate(only_rising, step, 4) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_batches_hold_every_dialogue_once_in_the_seeds_order() -> None:
    data = small_data()

    def lengths(seed: int, epoch: int) -> list[list[int]]:
        return [[len(one) for one in batch] for batch in batches(data.train, 5, seed, epoch)]

    assert [len(batch) for batch in lengths(0, 1)] == [5, 5, 2]
    assert sorted(chain.from_iterable(lengths(0, 1))) == sorted(len(one) for one in data.train)
    assert lengths(0, 1) == lengths(0, 1)
    assert lengths(0, 1) != lengths(0, 2)
    assert lengths(0, 1) != lengths(1, 1)


def test_a_finished_seed_that_lost_a_file_is_trained_again(tmp_path: Path) -> None:
    folder = seed_folder(tmp_path, 0)
    run_seed(folder, epochs=1)
    before = contents(folder)
    for lost in (*CHECKPOINT, HISTORY):
        (folder / lost).unlink()
        with pytest.raises(TrainingError, match="lost a file"):
            finished_seeds(tmp_path)
        run_seed(folder, epochs=1)
        assert contents(folder) == before


def test_unfinished_seeds_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected trained seeds"):
        finished_seeds(tmp_path)
    run_seed(seed_folder(tmp_path, 2), epochs=1, seed=2)
    run_seed(seed_folder(tmp_path, 10), epochs=1, seed=10)
    assert finished_seeds(tmp_path) == [seed_folder(tmp_path, 2), seed_folder(tmp_path, 10)]
    with pytest.raises(TrainingError, match="seed-3: expected a finished seed, found none"):
        finished_seeds(tmp_path, [2, 3])
    with pytest.raises(KilledError):
        train(small_data(), small_model(), short(), 3, seed_folder(tmp_path, 3), kill_after(1))
    with pytest.raises(
        TrainingError, match="seed-3: expected a finished seed, found one that was interrupted or lost a file"
    ):
        finished_seeds(tmp_path)
