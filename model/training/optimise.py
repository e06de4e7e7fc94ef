"""One epoch of gradient steps: shuffled batches, warm-up and decay, clipping, autocast, ``torch.compile``."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from bigfusion.model.data.batch import UNLABELLED, Dialogue, collate
from bigfusion.model.networks.bigfusion import BigFusion, loss
from bigfusion.model.runs.folder import Steps
from bigfusion.model.seed import seed_everything
from bigfusion.model.settings import TrainSettings
from bigfusion.model.training.distributed import ALONE, Rank
from bigfusion.pipeline.errors import TrainingError


def learning_rate(settings: TrainSettings, step: int, steps: int) -> float:
    """The rate of a step (from 0): a linear rise over the warm-up's share of ``steps``, then constant or down to 0."""
    rising = round(settings.warmup * steps)
    if step < rising:
        return settings.learning_rate * (step + 1) / rising
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (steps - step) / (steps - rising)


def batches(dialogues: Sequence[Dialogue], size: int, seed: int, epoch: int) -> Iterator[list[Dialogue]]:
    """All dialogues in batches of ``size``, in an order that depends on seed and epoch alone."""
    order = np.random.default_rng((seed, epoch)).permutation(len(dialogues))
    for start in range(0, len(order), size):
        yield [dialogues[index] for index in order[start : start + size]]


class Optimisation:
    """A network, its optimizer and the training dialogues, on one device; ``rank`` shares the batches out.

    ``scored`` is the network that is scored and kept: one whose weights are the running average of the trained one's
    (``settings.average``), or the trained one itself.

    The learning rate and the batches are functions of seed and epoch, so that nothing but the network, the optimizer
    and the random generators has to be stored between epochs.
    """

    def __init__(
        self,
        network: BigFusion,
        dialogues: Sequence[Dialogue],
        settings: TrainSettings,
        seed: int,
        rank: Rank = ALONE,
    ) -> None:
        self.network = network
        self.scored = copy.deepcopy(network) if settings.average else network
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._dialogues = dialogues
        self._steps = -(-len(self._dialogues) // settings.batch_size)
        self._forward = torch.compile(network, dynamic=True) if settings.compile else network
        self._settings, self._contrast, self._seed = settings, network.settings.contrast, seed
        self._rank = rank
        self._device = next(network.parameters()).device

    @property
    def networks(self) -> dict[str, BigFusion]:
        """What a state between two epochs has to hold besides the optimizer."""
        own = {"network": self.network}
        return own if self.scored is self.network else own | {"average": self.scored}

    def epoch(self, number: int) -> Steps:
        """Train one epoch; ``number`` counts from 1.

        Raises:
            TrainingError: the loss is not finite.
        """
        if not self._rank.alone:  # each draws noise and dropout of its own, the same after a resume
            seed_everything((self._seed * 1_000_003 + number) * 1_009 + self._rank.index)
        self.network.train()
        sums: dict[str, float] = defaultdict(float)
        rates: dict[str, float] = defaultdict(float)
        rate, total = 0.0, 0
        for index, chosen in enumerate(batches(self._dialogues, self._settings.batch_size, self._seed, number)):
            step = (number - 1) * self._steps + index
            rate = learning_rate(self._settings, step, self._settings.epochs * self._steps)
            labelled = _labelled(chosen)
            parts, fired = self._step(chosen, rate, number)
            self._follow(step)
            for name, value in parts.items():
                sums[name] += value * labelled
            for name, value in fired.items():
                rates[name] += value * labelled
            total += labelled
        means = {name: value / total for name, value in sums.items()}
        return Steps(**means, learning_rate=rate, rates={name: value / total for name, value in rates.items()})

    def _step(self, batch: list[Dialogue], rate: float, epoch: int) -> tuple[dict[str, float], dict[str, float]]:
        """One gradient step; its loss in parts and its firing rates, over all processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        parts, rates = (self._rank.sum_numbers(numbers, self._device) for numbers in self._backward(batch))
        if not math.isfinite(parts["loss"]):
            raise TrainingError(
                f"seed {self._seed}, epoch {epoch}: expected a finite loss, found {parts['loss']}; "
                "lower train.learning_rate or train.clip"
            )
        self._rank.sum_gradients(self.network)
        norm = clip_grad_norm_(self.network.parameters(), self._settings.clip)
        self.optimizer.step()
        return parts | {"gradient_norm": norm.item()}, rates

    def _backward(self, batch: list[Dialogue]) -> tuple[dict[str, float], dict[str, float]]:
        """Gradients of this process's share of a batch; over all processes they, loss and rates sum to the batch's."""
        mine = self._rank.part(batch)
        labelled = _labelled(mine) / max(_labelled(batch), 1)
        nodes = sum(map(len, mine)) / sum(map(len, batch))
        read = collate(mine or batch[:1]).to(self._device)  # nothing to do: something, weighed by 0
        whole = not self._rank.alone and self._contrast.negatives == "batch"
        if whole:
            self.network.exchange = lambda rows: self._rank.gather(rows if mine else rows[:0])
        bfloat16 = self._settings.precision == "bfloat16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=bfloat16):
            output = self._forward(read)
            total: Tensor = loss(output, read, self._contrast, self._settings.smoothing)
            taught = self._contrast.weight * output.contrast
            rest = total - taught
            if not self._rank.alone:
                total = labelled * rest + (taught if whole else nodes * taught)
        torch.autograd.backward(total)
        contrast, cross_entropy = nodes * output.contrast.item(), labelled * rest.item()
        loss_here = cross_entropy + self._contrast.weight * contrast
        parts = {"loss": loss_here, "cross_entropy": cross_entropy, "contrast": contrast}
        return parts, {name: nodes * float(value) for name, value in output.rates.items()}

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the average towards the network's weights, fast at first: its start is no estimate of anything."""
        if self.scored is not self.network:
            decay = min(self._settings.average, (1 + step) / (10 + step))
            for average, weight in zip(self.scored.parameters(), self.network.parameters(), strict=True):
                average.lerp_(weight, 1 - decay)


def _labelled(dialogues: Sequence[Dialogue]) -> int:
    return sum(int((dialogue.labels != UNLABELLED).sum()) for dialogue in dialogues)
