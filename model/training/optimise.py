"""One epoch of gradient steps: shuffled batches, warm-up and decay, clipping, autocast, ``torch.compile``."""

from __future__ import annotations

import copy
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from bigfusion.model.data.batch import UNLABELLED, Batch, Dialogue, collate
from bigfusion.model.networks.base import Network, Output, ParameterGroup, Part, Peers
from bigfusion.model.runs.folder import Steps
from bigfusion.model.seed import seed_everything
from bigfusion.model.settings import TrainSettings
from bigfusion.model.training.curriculum import curriculum
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
    (``settings.average``), or the trained one itself. ``labels`` names the classes, for a curriculum that asks.

    The learning rate and the batches are functions of seed and epoch, so that nothing but the network, the optimizer
    and the random generators has to be stored between epochs.
    """

    def __init__(
        self,
        network: Network,
        dialogues: Sequence[Dialogue],
        settings: TrainSettings,
        seed: int,
        rank: Rank = ALONE,
        labels: Sequence[str] = (),
    ) -> None:
        self.network = network
        self.scored = copy.deepcopy(network) if settings.average else network
        self._own = network.optimizers()
        groups = _stepped(network, self._own)
        self.parameters = [weight for group in groups for weight in group.parameters]
        self._rates = [group.rate for group in groups]
        self._optimizer = _adam(groups, settings)
        self._curriculum = curriculum(settings, dialogues, labels)
        self._steps = -(-len(dialogues) // settings.batch_size)
        self._forward = torch.compile(network, dynamic=True) if settings.compile else network
        self._settings, self._seed = settings, seed
        self._rank = rank
        self._device = next(itertools.chain(network.parameters(), network.buffers())).device

    @property
    def networks(self) -> dict[str, Network]:
        """What a state between two epochs has to hold besides the optimizers."""
        own = {"network": self.network}
        return own if self.scored is self.network else own | {"average": self.scored}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """The training's optimizer, of a network that has parameters, and the network's own."""
        return ({"training": self._optimizer} if self._optimizer else {}) | self._own

    def epoch(self, number: int) -> Steps:
        """Train one epoch; ``number`` counts from 1.

        Raises:
            TrainingError: the loss is not finite.
        """
        if not self._rank.alone:  # each process draws other noise and dropout, and the same again after a resume
            seed_everything(((self._seed * 1_000_003 + number) * 1_009 + self._rank.index) % 2**32)  # NumPy's limit
        self.network.train()
        self.network.begin_epoch(number, self._settings.epochs)
        sums: dict[str, float] = defaultdict(float)
        rates: dict[str, float] = defaultdict(float)
        rate, total = 0.0, 0
        lesson = self._curriculum.lesson(number)
        for index, chosen in enumerate(batches(lesson.dialogues, self._settings.batch_size, self._seed, number)):
            step = (number - 1) * self._steps + index
            rate = learning_rate(self._settings, step, self._settings.epochs * self._steps)
            labelled = _labelled(chosen)
            parts, fired = self._step(chosen, rate, number, lesson.targets)
            self._follow(step)
            for name, value in parts.items():
                sums[name] += value * labelled
            for name, value in fired.items():
                rates[name] += value * labelled
            total += labelled
        self._take_buffers()
        means = {name: value / total for name, value in sums.items()}
        return Steps(
            loss=means.pop("loss"),
            gradient_norm=means.pop("gradient_norm"),
            parts=means,
            learning_rate=rate,
            rates={name: value / total for name, value in rates.items()},
        )

    def _step(
        self, batch: list[Dialogue], rate: float, epoch: int, targets: Tensor | None
    ) -> tuple[dict[str, float], dict[str, float]]:
        """One gradient step; its loss in parts and its firing rates, over all processes."""
        share = _Share.of(self._rank.part(batch), batch)
        read = collate(share.dialogues or batch[:1])  # nothing to do: something, weighed by 0
        squared = self._settings.regression_loss == "squared"
        read = replace(read, targets=targets, squared=squared).to(self._device)
        if not self._rank.alone:
            self.network.peers = self._peers(bool(share.dialogues))
        if self._own:
            self.network.own_step(read, self._own)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        output, *numbers = self._backward(read, share)
        parts, rates = (self._rank.sum_numbers(each, self._device) for each in numbers)
        if not math.isfinite(parts["loss"]):
            raise TrainingError(
                f"seed {self._seed}, epoch {epoch}: expected a finite loss, found {parts['loss']}; "
                "lower train.learning_rate or train.clip"
            )
        norm = self._move(rate)
        with torch.no_grad():
            self.network.after_step(output, read)
        return parts | {"gradient_norm": norm}, rates

    def _peers(self, working: bool) -> Peers:
        """The other processes, as the network sees them. A process without dialogues sends no rows."""
        return Peers(
            gather=lambda rows: self._rank.gather(rows if working else rows[:0]),
            sum_gradients=self._rank.sum_gradients,
        )

    def _backward(self, batch: Batch, share: _Share) -> tuple[Output, dict[str, float], dict[str, float]]:
        """Gradients of this process's share of a batch; over all processes they, loss and rates sum to the batch's."""
        bfloat16 = self._settings.precision == "bfloat16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=bfloat16):
            output: Output = self._forward(batch)
            parts = self.network.loss(output, batch, self._settings.smoothing)
            alone = self._rank.alone
            total = sum(
                part.value * (part.weight * (1.0 if alone else share.gradient(part))) for part in parts.values()
            )
        if isinstance(total, Tensor) and total.requires_grad:
            torch.autograd.backward(total)
        numbers = {name: share.number(part) * part.value.item() for name, part in parts.items()}
        whole = sum(part.weight * numbers[name] for name, part in parts.items())
        rates = {name: share.nodes * rate.mean().item() for name, rate in output.rates.items()}
        return output, {"loss": whole} | numbers, rates

    def _move(self, rate: float) -> float:
        """Step the training's optimizer; the gradient's norm before clipping."""
        if self._optimizer is None:
            return 0.0
        self._rank.sum_gradients(self.parameters)
        norm = clip_grad_norm_(self.parameters, self._settings.clip)
        for group, scale in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * scale
        self._optimizer.step()
        return norm.item()

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the average towards the network's weights, fast at first: its start is no estimate of anything."""
        if self.scored is not self.network:
            decay = min(self._settings.average, (1 + step) / (10 + step))
            for average, weight in zip(self.scored.parameters(), self.network.parameters(), strict=True):
                average.lerp_(weight, 1 - decay)

    @torch.no_grad()
    def _take_buffers(self) -> None:
        """Give the averaged network what the trained one has besides weights: running statistics are no average."""
        if self.scored is not self.network:
            for average, buffer in zip(self.scored.buffers(), self.network.buffers(), strict=True):
                average.copy_(buffer)


@dataclass(frozen=True)
class _Share:
    """One process's dialogues of a batch and their share of its labelled utterances, utterances and dialogues."""

    dialogues: Sequence[Dialogue]
    labels: float
    nodes: float
    whole: float

    @classmethod
    def of(cls, dialogues: Sequence[Dialogue], batch: Sequence[Dialogue]) -> _Share:
        """The share of ``dialogues`` in ``batch``."""
        labels = _labelled(dialogues) / max(_labelled(batch), 1)
        return cls(dialogues, labels, sum(map(len, dialogues)) / sum(map(len, batch)), len(dialogues) / len(batch))

    def number(self, part: Part) -> float:
        """What to weigh a part's value by, so that the processes' values sum to the batch's."""
        return {"labels": self.labels, "nodes": self.nodes, "batch": self.nodes, "dialogues": self.whole}[part.per]

    def gradient(self, part: Part) -> float:
        """What to weigh its gradient by: of a part over the whole batch, each process has its own rows' gradients."""
        return 1.0 if part.per == "batch" else self.number(part)


def _stepped(network: Network, own: Mapping[str, Optimizer]) -> list[ParameterGroup]:
    """The network's groups without what its own optimizers step and what no gradient moves; none empty."""
    others = {id(weight) for each in own.values() for group in each.param_groups for weight in group["params"]}
    groups = []
    for group in network.parameter_groups():
        weights = [weight for weight in group.parameters if weight.requires_grad and id(weight) not in others]
        if weights:
            groups.append(replace(group, parameters=weights))
    return groups


def _adam(groups: Sequence[ParameterGroup], settings: TrainSettings) -> torch.optim.Adam | None:
    """Adam over the groups; None for a network that has no parameters to step."""
    if not groups:
        return None
    tables = [
        {
            "params": list(group.parameters),
            "weight_decay": settings.weight_decay if group.weight_decay is None else group.weight_decay,
        }
        for group in groups
    ]
    return torch.optim.Adam(tables, lr=settings.learning_rate)


def _labelled(dialogues: Sequence[Dialogue]) -> int:
    return sum(int((dialogue.labels != UNLABELLED).sum()) for dialogue in dialogues)
