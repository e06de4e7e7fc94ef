"""What a network costs: one epoch of it in a process of its own, which no other network's memory lies in."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bigfusion.model.data.dialogues import Data
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.runs.checkpoint import TENSORS
from bigfusion.model.runs.files import Record
from bigfusion.model.runs.folder import Epoch
from bigfusion.model.runs.tensors import count_numbers
from bigfusion.model.settings import TrainSettings
from bigfusion.pipeline.settings import merge

_MIB = 2**20


class Cost(Record):
    """``parameters`` counts the numbers of the stored network. ``cpu_seconds`` and ``seconds`` (by the clock) are one
    epoch's, or the whole fit's of a network that is fitted at once, with the predictions for validation and without
    those for test.

    ``peak_mib`` is the process's largest memory, Python, torch and the features included; ``idle_mib`` is what it held
    before the training. On a GPU both are the card's.
    """

    parameters: int
    cpu_seconds: float
    seconds: float
    idle_mib: float
    peak_mib: float


def measure(data: Data, model: NetworkSettings, train: TrainSettings) -> Cost:
    """The cost of an epoch on all dialogues, or of a fit: the second of two, so that what is done once does not count.

    A curriculum's first epochs train on a part of them, so it is measured with a single bucket.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, Data(data.labels, data.train, data.valid, []), model, train).result()


def _measured(data: Data, model: NetworkSettings, settings: TrainSettings) -> Cost:
    import torch

    from bigfusion.model.scoring.predict import choose_device
    from bigfusion.model.training.train import train

    two = _two_epochs(settings)
    on_card = choose_device(two.device).type == "cuda"
    idle = 0.0 if on_card else _peak()
    ends: list[tuple[float, float]] = []

    def ended(_: Epoch | None = None) -> None:
        ends.append((time.process_time(), time.perf_counter()))

    with tempfile.TemporaryDirectory() as folder:
        train(data, model, two, two.seeds[0], Path(folder), ended)
        parameters = count_numbers(Path(folder) / TENSORS)
    peak = torch.cuda.max_memory_allocated() / _MIB if on_card else _peak()
    if model.fitted_at_once:  # the training made one fit
        ended()
        _fit(data, model, two)
        ended()
    return Cost(
        parameters=parameters,
        cpu_seconds=ends[-1][0] - ends[-2][0],
        seconds=ends[-1][1] - ends[-2][1],
        idle_mib=idle,
        peak_mib=peak,
    )


def _fit(data: Data, model: NetworkSettings, settings: TrainSettings) -> None:
    """Fit a network that takes no gradient steps, and predict the validation split."""
    from bigfusion.model.networks.base import build
    from bigfusion.model.scoring.predict import choose_device, predict
    from bigfusion.model.seed import deterministic

    with deterministic(settings.threads):
        network = build(model, data.widths, len(data.labels))
        network.prepare(data.train, data.valid)
        device = choose_device(settings.device)
        predict(network.to(device), data.valid, device, settings.batch_size)


def _two_epochs(settings: TrainSettings) -> TrainSettings:
    """Settings for two epochs on all dialogues in one process."""
    changes = {"epochs": 2, "patience": 2, "processes": 1, "hcl": {"buckets": 1}}
    return TrainSettings.model_validate(merge(settings.model_dump(), changes))


def _peak() -> float:
    """The largest resident memory of this process so far, in MiB.

    Linux's ``ru_maxrss`` begins with that of the process which started this one; ``VmHWM`` does not.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024
