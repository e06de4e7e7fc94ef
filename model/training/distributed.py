"""One process for each device. The dialogues of a batch are divided among them; the gradient is the whole batch's.

The loss of a batch is a mean over its labelled utterances and, for the contrast, over its nodes. Each process weighs
its means by its share of both. So the *sum* of the processes' gradients is the gradient that one process would have on
the whole batch. torch's DistributedDataParallel would average them as if all shares were equal. If all nodes of a batch
are each other's negatives, each process computes the whole contrast, with nodes that the other processes send. A
network with BatchNorm would normalise by a process's share: it is refused several processes (``Network.batch_norm``).
"""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch._C._distributed_c10d import FileStore
from torch.multiprocessing.spawn import spawn

T = TypeVar("T")


@dataclass(frozen=True)
class Rank:
    """This process's rank. With a single process every method is a no-op."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.index == 0

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.count == 1

    def part(self, batch: Sequence[T]) -> Sequence[T]:
        """This process's share of a batch's dialogues. It may be empty if the batch is small."""
        return batch[self.index :: self.count]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradients of every process by their sum over all processes. A missing gradient counts as 0."""
        if self.alone:
            return
        weights = [weight for weight in parameters if weight.requires_grad]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for weight, part in zip(weights, torch.split(flat, [weight.numel() for weight in weights]), strict=True):
            weight.grad = part.view_as(weight)

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, in the order of the ranks. Gradients flow only into this process's rows.

        So the gradients of a loss over all rows, summed over the processes, equal those in a single process.
        Shapes: (V, ...) -> (sum of all V, ...).
        """
        if self.alone:
            return rows
        counts = torch.zeros(self.count, dtype=torch.int64, device=rows.device)
        counts[self.index] = len(rows)
        distributed.all_reduce(counts)
        sent = rows.new_zeros(int(counts.max()), *rows.shape[1:])
        sent[: len(rows)] = rows.detach()
        found = [torch.empty_like(sent) for _ in range(self.count)]
        distributed.all_gather(found, sent)
        parts = [part[:count] for part, count in zip(found, counts.tolist(), strict=True)]
        parts[self.index] = rows
        return torch.cat(parts)

    def sum_numbers(self, numbers: Mapping[str, float], device: torch.device) -> dict[str, float]:
        """The sums over all processes. Each process must give the same names in the same order."""
        if self.alone:
            return dict(numbers)
        values = torch.tensor(list(numbers.values()), dtype=torch.float64, device=device)
        distributed.all_reduce(values)
        return dict(zip(numbers, values.tolist(), strict=True))

    def tell(self, value: Any, device: torch.device) -> Any:
        """Send the first process's JSON value to all processes."""
        if self.alone:
            return value
        text = json.dumps(value).encode() if self.first else b""
        length = torch.tensor([len(text)], device=device)
        distributed.broadcast(length, 0)
        content = torch.tensor([*text] or [0] * int(length), dtype=torch.uint8, device=device)
        distributed.broadcast(content, 0)
        return value if self.first else json.loads(bytes(content.tolist()))


ALONE = Rank()


def device_of(rank: Rank, device: torch.device) -> torch.device:
    """The device of a process. On CUDA each process has one, in the order of the ranks."""
    return torch.device("cuda", rank.index) if device.type == "cuda" and not rank.alone else device


@contextmanager
def processes(count: int, device: torch.device, others: Callable[..., object], *arguments: Any) -> Iterator[Rank]:
    """Make this process the first of ``count``. ``others(rank, *arguments)`` runs in each of the others.

    They meet through a file, not a port. If this process dies, their next exchange fails and they end too.
    """
    if count == 1:
        yield ALONE
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = (str(Path(folder) / "meeting"), count, "nccl" if device.type == "cuda" else "gloo")
        with _deaf_to_interrupts():
            started = spawn(  # type: ignore[no-untyped-call]
                _other, args=(meeting, others, arguments), nprocs=count - 1, join=False
            )
        rank = Rank(0, count)
        try:
            with _met(meeting, rank):
                yield rank
        except BaseException:
            for process in started.processes:
                process.terminate()
            raise
        while not started.join():
            pass


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started in this block ignore Ctrl-C in the terminal. The first process receives it and ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _other(index: int, meeting: tuple[str, int, str], others: Callable[..., object], arguments: Sequence[Any]) -> None:
    rank = Rank(index + 1, meeting[1])
    with _met(meeting, rank):
        others(rank, *arguments)


@contextmanager
def _met(meeting: tuple[str, int, str], rank: Rank) -> Iterator[None]:
    path, count, backend = meeting
    if backend == "nccl":
        torch.cuda.set_device(rank.index)
    distributed.init_process_group(backend, store=FileStore(path, count), rank=rank.index, world_size=count)
    try:
        yield
    finally:
        distributed.destroy_process_group()
