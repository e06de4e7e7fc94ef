"""Training the facial DenseNet on FER+'s votes: cross-entropy on the raters' shares (Barsoum et al., 2016).

The optimiser is stochastic gradient descent with Nesterov momentum; the learning rate follows one cosine. The weights
are averaged exponentially. Faces grow from stage to stage: most is learnt on small faces, at a quarter of the cost.
Order and augmentation are pure functions of seed and step, so an interrupted training ends with the same weights.
"""

from __future__ import annotations

import copy
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from bigfusion.extractors.compute import check, device_named, side_by_side, torch_threads
from bigfusion.extractors.visual.densenet import FaceNet, seeded
from bigfusion.extractors.visual.training.augmentation import augmented, resized
from bigfusion.extractors.visual.training.ferplus import UNDECIDED, Faces
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.settings import Settings

STATE = "state.safetensors"
SETTLING = 4096
"""Training faces from which the averaged network's statistics are taken."""


class FaceTrainingSettings(Settings):
    """How the DenseNet is trained. The defaults made the weights that come with the project."""

    run_only: ClassVar[frozenset[str]] = frozenset({"device", "threads"})

    stages: tuple[tuple[int, int], ...] = Field(
        default=((48, 12), (64, 23)), description="side of the faces in pixels, epochs; one after the other"
    )
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=0.1, gt=0, description="the highest; the cosine ends at 0")
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps with a rising rate")
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    average: float = Field(default=0.999, ge=0, lt=1, description="decay a step of the weights' moving average")
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    seed: int = 1
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; none: torch's own choice")

    @property
    def epochs(self) -> int:
        """The number of epochs of all stages."""
        return sum(epochs for _, epochs in self.stages)

    def side(self, epoch: int) -> int:
        """The faces' side in an epoch, counted from 0."""
        sides = [side for side, epochs in self.stages for _ in range(epochs)]
        return sides[min(epoch, len(sides) - 1)]


@dataclass(frozen=True)
class Epoch:
    """The log of an epoch: mean training loss, and the accuracy of the averaged weights on the valid split."""

    epoch: int
    side: int
    loss: float
    valid_accuracy: float
    seconds: float


class FaceTraining:
    """A training that can be stopped at any step and resumed.

    ``folder`` holds its state, written at least every ``save_seconds`` and after each epoch.
    """

    def __init__(self, faces: dict[str, Faces], folder: Path, settings: FaceTrainingSettings) -> None:
        train = faces["train"]
        self._train = train.only(train.plurality != UNDECIDED)
        self._valid = faces["valid"].only(faces["valid"].majority != UNDECIDED)
        self._settings, self._folder = settings, folder
        self._device = device_named(settings.device)
        self._tiles = torch.from_numpy(self._train.tiles).to(self._device)  # (N, 48, 48): 65 MB, copied once
        self._targets = torch.from_numpy(self._train.distribution).to(self._device)  # (N, 8)
        self._network = self._new_network()
        self._average = _cumulative(copy.deepcopy(self._network))
        self._optimiser = torch.optim.SGD(
            self._network.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.momentum > 0,
        )
        self._step, self.history = 0, list[Epoch]()
        self._loss = torch.zeros((), dtype=torch.float64, device=self._device)  # summed over the epoch's steps
        self._resume()

    @property
    def steps(self) -> int:
        """The number of steps of the whole training."""
        return self._settings.epochs * self._epoch_steps

    @property
    def step(self) -> int:
        """The number of steps done so far, earlier sessions included."""
        return self._step

    @property
    def _epoch_steps(self) -> int:
        return len(self._train) // self._settings.batch_size  # the rest differs from epoch to epoch

    def run(
        self,
        progress: Callable[[int], None] = lambda done: None,
        finished: Callable[[Epoch], None] = lambda epoch: None,
        save_seconds: float = 60.0,
    ) -> FaceNet:
        """Train to the end; returns the averaged network in evaluation mode, on the CPU."""
        with torch_threads.held_at(self._settings.threads or torch.get_num_threads()):
            self._run(progress, finished, save_seconds)
        return self._average.cpu().eval()

    def _run(self, progress: Callable[[int], None], finished: Callable[[Epoch], None], save_seconds: float) -> None:
        saved = started = time.monotonic()
        while self._step < self.steps:
            self._loss += self._advance()
            self._step += 1
            progress(1)
            if self._step % self._epoch_steps == 0:
                self._finish_epoch(time.monotonic() - started, finished)
                started = time.monotonic()
            elif time.monotonic() - saved < save_seconds:
                continue
            self._save()
            saved = time.monotonic()

    def _new_network(self) -> FaceNet:
        network = seeded(self._settings.seed)
        pixels = self._train.tiles.astype(np.float64) / 255
        network.mean.fill_(float(pixels.mean()))
        network.std.fill_(float(pixels.std()))
        placed: FaceNet = network.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return placed.train()

    def _advance(self) -> Tensor:
        """One step of the optimiser. Returns the batch's loss without waiting for it: a GPU lags behind the steps."""
        settings = self._settings
        epoch, position = divmod(self._step, self._epoch_steps)
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(self._train))
        chosen = order[position * settings.batch_size : (position + 1) * settings.batch_size]
        picked = torch.from_numpy(chosen).to(self._device)
        tiles, target = self._tiles[picked], self._targets[picked]  # (B, 48, 48), (B, 8)
        random = torch.Generator().manual_seed(settings.seed * 1_000_003 + self._step)
        pixels = augmented(tiles, settings.side(epoch), random)  # (B, 1, S, S)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate()
        with self._autocast():
            logits = self._network(pixels)  # (B, 8)
        loss = functional.cross_entropy(logits.float(), target)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._follow()
        return loss.detach()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._settings.precision == "bfloat16")

    def _rate(self) -> float:
        """Linear rise, then a cosine down to 0."""
        settings = self._settings
        done = (self._step + 1) / self.steps
        if done < settings.warmup:
            return settings.learning_rate * done / settings.warmup
        part = (done - settings.warmup) / (1 - settings.warmup)
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * part))

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the network.

        Early steps move it more, so that the average forgets the first weights.
        """
        weight = max(1 - self._settings.average, 1 / (self._step + 1))
        torch._foreach_lerp_(list(self._average.parameters()), list(self._network.parameters()), weight)

    @torch.no_grad()
    def _settle(self, side: int) -> None:
        """Compute batch normalisation's statistics for the averaged weights, on the first ``SETTLING`` faces of an
        order.

        The activations of averaged weights vary less than those of the weights that went into the average. So averaged
        statistics would not fit them (Izmailov et al., 2018).
        """
        order = np.random.default_rng(self._settings.seed).permutation(len(self._train))[:SETTLING]
        random = torch.Generator().manual_seed(self._settings.seed)
        for module in _normalisations(self._average):
            module.reset_running_stats()
        self._average.train()
        for chosen in np.array_split(order, -(-len(order) // 256)):
            tiles = self._tiles[torch.from_numpy(chosen).to(self._device)]
            pixels = augmented(tiles, side, random)
            with self._autocast():
                self._average(pixels.contiguous(memory_format=torch.channels_last))

    def _finish_epoch(self, seconds: float, finished: Callable[[Epoch], None]) -> None:
        epoch = self._step // self._epoch_steps
        side = self._settings.side(epoch - 1)
        self._check_loss()
        self._settle(side)
        predicted = predict(self._average, self._valid, side)
        accuracy = float((predicted.argmax(1) == self._valid.majority).mean())
        done = Epoch(epoch, side, self._loss.item() / self._epoch_steps, accuracy, round(seconds, 1))
        self.history.append(done)
        self._loss.zero_()
        finished(done)

    def _check_loss(self) -> float:
        """The epoch's summed loss so far. A loss that is not finite stops the training before anything is stored."""
        loss = self._loss.item()
        if not math.isfinite(loss):
            raise ExtractionError(
                f"train-faces: expected a finite loss, found {loss} before step {self._step}; lower the learning rate"
            )
        return loss

    def _save(self) -> None:
        loss = self._check_loss()
        tensors = {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self._average.state_dict().items()}
        for name, parameter in self._network.named_parameters():
            tensors[f"momentum.{name}"] = self._optimiser.state[parameter]["momentum_buffer"]
        facts = {
            "settings": self._settings.numbers(),
            "faces": len(self._train),
            "step": self._step,
            "loss": loss,
            "history": [asdict(epoch) for epoch in self.history],
        }
        whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        write_whole(self._folder / STATE, save(whole, metadata={"facts": json.dumps(facts)}))

    def _resume(self) -> None:
        path = self._folder / STATE
        if not path.exists():
            return
        try:
            with safe_open(path, framework="pt") as file:
                facts: dict[str, Any] = json.loads(file.metadata()["facts"])
                tensors = {name: file.get_tensor(name).to(self._device) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ExtractionError(
                f"{path}: expected a training's state, found {error}; delete it to begin anew"
            ) from None
        found = {"settings": self._settings.numbers(), "faces": len(self._train)}
        if any(facts.get(name) != value for name, value in found.items()):
            raise ExtractionError(
                f"{path}: expected a training with these settings and data, found one with others; "
                "name another folder with --out, or delete it"
            )
        self._network.load_state_dict(_below(tensors, "network."))
        self._average.load_state_dict(_below(tensors, "average."))
        momentum = _below(tensors, "momentum.")
        for name, parameter in self._network.named_parameters():
            self._optimiser.state[parameter]["momentum_buffer"] = momentum[name]
        self._step = facts["step"]
        self._loss.fill_(facts["loss"])
        self.history = [Epoch(**epoch) for epoch in facts["history"]]


def predict(
    network: FaceNet,
    faces: Faces,
    side: int = 64,
    embed: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """The probability of each class. Shape: (N, 8) float32. The network's mode is restored afterwards.

    ``embed`` takes the place of the network's own features: (B, 1, S, S) in [0, 1] -> (B, 342). On a processor, batches
    of ``batch_size`` are computed in parallel, one thread for each (see :mod:`extractors.compute`).
    """
    features = embed or network.embed
    device, mode = next(network.parameters()).device, network.training

    def one(tiles: Tensor, stop: threading.Event) -> Tensor:
        check(stop)
        with torch.inference_mode():
            pixels = resized(tiles.to(device), side).contiguous(memory_format=torch.channels_last)
            return functional.softmax(network.classifier(features(pixels)), dim=1).float().cpu()

    network.eval()
    threads, batch_size = (torch.get_num_threads(), batch_size) if device.type == "cpu" else (1, 1024)
    with torch_threads.held_at(1):
        found = side_by_side(one, torch.split(torch.from_numpy(faces.tiles), batch_size), threads)
    network.train(mode)
    return np.asarray(torch.cat(found).numpy(), np.float32)


def _normalisations(network: FaceNet) -> Iterator[nn.BatchNorm2d]:
    return (module for module in network.modules() if isinstance(module, nn.BatchNorm2d))


def _cumulative(network: FaceNet) -> FaceNet:
    """The network, set to take its statistics over all batches since they were reset."""
    for module in _normalisations(network):
        module.momentum = None
    return network


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
