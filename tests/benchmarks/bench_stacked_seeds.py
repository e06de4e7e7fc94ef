"""Several seeds of a network as one batched computation (torch.func: stacked parameters, vmap) against one by one.

A step is forward, loss and backward of one batch, without an optimizer; CPU time, one thread, default settings. A
network runs stacked as it is, or with the named parts of it in a form that vmap takes and that gives the same numbers
(a GRU step by step: torch's packed one has no batching rule). Losses and gradients of both ways are compared without
dropout; the times are with it, each seed drawing its own.

Run from the project's root: python -m tests.benchmarks.bench_stacked_seeds [--networks bigru ...] [--seeds 5]
    [--dialogues 32] [--turns 3]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from bigfusion.model.data.batch import Batch, collate
from bigfusion.model.layers.modal_graph import modal_graph
from bigfusion.model.layers.recurrence import gru
from bigfusion.model.layers.spiking import _Heaviside
from bigfusion.model.networks.base import Network, Output, build
from bigfusion.model.networks.bigru import BiGRU
from bigfusion.model.networks.mm_dfn import MMDFN
from bigfusion.model.seed import deterministic
from bigfusion.model.settings import network_settings
from bigfusion.pipeline.tables.labels import IEMOCAP
from tests.benchmarks.bench_networks import WIDTHS, corpus

warnings.filterwarnings("ignore", message="There is a performance drop")

NETWORKS = ("bigru", "logistic", "mm_dfn", "bigfusion")


def module_of(kind: str, seed: int, batch: Batch, chance: bool) -> nn.Module:
    """A module whose output is the loss of a batch."""
    changes: dict[str, object] = {}
    if not chance and kind != "logistic":
        changes = {"dropout": 0.0}
    if kind == "bigfusion":
        changes["contrast"] = {"enabled": False}  # its importance ranks nodes: places that depend on values
    torch.manual_seed(seed)
    network = build(network_settings({"kind": kind} | changes).for_classes(IEMOCAP), WIDTHS, 6)
    network.fit(corpus().train[:4])
    return (GraphAlone(network, batch) if kind == "mm_dfn" else Loss(network)).train()


def loss_of(network: Network, batch: Batch) -> Tensor:
    """The weighted sum of the loss's parts."""
    parts = network.loss(network(batch), batch).values()
    return torch.stack([part.weight * part.value for part in parts]).sum()


def one_by_one(modules: list[nn.Module], batch: Batch) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Losses (S,), and the gradients of each."""
    losses = []
    for module in modules:
        module.zero_grad()
        loss = module(batch)
        if loss.requires_grad:
            loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses), [
        {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}
        for module in modules
    ]


class Loss(nn.Module):
    """The loss as a module's output, which functional_call wants."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Tensor:
        """The scalar."""
        return loss_of(self.network, batch)


def stacked(modules: list[nn.Module], batch: Batch) -> Callable[[], tuple[Tensor, dict[str, Tensor]]]:
    """A call of all seeds' losses (S,) and stacked gradients."""
    parameters, buffers = stack_module_state(modules)
    parameters = {name: weight.detach() for name, weight in parameters.items()}
    base = modules[0]

    def loss(own: dict[str, Tensor], others: dict[str, Tensor]) -> Tensor:
        found: Tensor = functional_call(base, (own, others), (batch,))
        return found

    step = vmap(grad_and_value(loss), randomness="different")

    def run() -> tuple[Tensor, dict[str, Tensor]]:
        slopes, losses = step(parameters, buffers)
        return losses, slopes

    return run


def stepped(layer: nn.GRU, inputs: Tensor, mask: Tensor) -> Tensor:
    """torch's GRU layer by layer, direction by direction, step by step over padded rows; shorter ones keep their state.

    Shapes: inputs (B, N, D), mask (B, N) -> (B, N, D').
    """
    real = mask.unsqueeze(-1)
    for number in range(layer.num_layers):
        ways = []
        for suffix in ("", "_reverse"):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            weight, hidden_weight, bias, hidden_bias = (getattr(layer, f"{name}_l{number}{suffix}") for name in names)
            known = nn.functional.linear(inputs, weight, bias)
            state = inputs.new_zeros(len(inputs), layer.hidden_size)
            states: list[Tensor] = []
            places = range(inputs.shape[1])
            for place in reversed(places) if suffix else places:
                new = gru(known[:, place], nn.functional.linear(state, hidden_weight, hidden_bias), state)
                state = torch.where(real[:, place], new, state)
                states.append(state)
            ways.append(torch.stack(states[::-1] if suffix else states, dim=1))
        inputs = torch.cat(ways, dim=-1)
        if number + 1 < layer.num_layers and layer.training:
            inputs = nn.functional.dropout(inputs, layer.dropout)
    return inputs


def padded_bigru(network: BiGRU, batch: Batch) -> Output:
    """biGRU on padded rows throughout: vmap has no rule for filling rows by a mask, nor for packed sequences."""
    features = network.normalise(batch.features)
    features = {name: rows.where(batch.present[name].unsqueeze(-1), 0) for name, rows in features.items()}
    fused = network.fusion(features, batch.present)
    context = stepped(network.gru, network.dropout(fused), batch.mask)
    return Output(network.classifier(context) * batch.mask.unsqueeze(-1))


def filled(packed: Tensor, mask: Tensor) -> Tensor:
    """``to_rows`` by an index in place of a mask."""
    rows = packed.new_zeros(mask.numel(), *packed.shape[1:])
    return rows.index_copy(0, mask.flatten().nonzero().flatten(), packed).view(*mask.shape, *packed.shape[1:])


def stepped_lstm(cell: nn.LSTMCell, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """torch's cell in plain operations: vmap has no rule for its own, and under grad it gives other numbers."""
    gates = nn.functional.linear(inputs, cell.weight_ih, cell.bias_ih)
    gates = gates + nn.functional.linear(state[0], cell.weight_hh, cell.bias_hh)
    enter, forget, candidate, leave = gates.chunk(4, dim=-1)
    memory = forget.sigmoid() * state[1] + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * memory.tanh(), memory


class GraphAlone(nn.Module):
    """MM-DFN's graph and its 16 gated layers, the part of it that has no packed sequences, on random vectors."""

    def __init__(self, network: MMDFN, batch: Batch) -> None:
        super().__init__()
        self.reduce, self.fusion, self.dropout = network.reduce, network.fusion, network.dropout
        self.width = network.reduce[0].in_features
        self.batch = batch

    def forward(self, batch: Batch) -> Tensor:
        """A scalar of its output."""
        generator = torch.Generator().manual_seed(0)
        nodes = torch.randn(int(batch.mask.sum()), 3, self.width, generator=generator)
        graph = modal_graph(nodes, batch.mask)
        hidden: Tensor = self.fusion(self.reduce(self.dropout(nodes)), graph)
        return hidden.square().mean()


@contextmanager
def as_vmap_takes_it(kind: str) -> Iterator[None]:
    """Inside, the network has forms of the same numbers that vmap has rules for."""
    rows = [
        f"bigfusion.model.{name}.to_rows"
        for name in ("data.utterances", "layers.attention", "layers.modal_graph", "networks.bigfusion")
    ]
    with ExitStack() as stack:
        for name in rows:
            stack.enter_context(mock.patch(name, filled))
        if kind == "bigru":
            stack.enter_context(mock.patch.object(BiGRU, "forward", padded_bigru))
        if kind == "mm_dfn":
            stack.enter_context(mock.patch.object(nn.LSTMCell, "forward", stepped_lstm))
        if kind == "bigfusion":
            stack.enter_context(mock.patch("torch.compiler.is_compiling", lambda: True))  # no question about values
            stack.enter_context(mock.patch.object(_Heaviside, "generate_vmap_rule", True))
        yield


def seconds(run: Callable[[], object]) -> float:
    """CPU time of one call."""
    began = time.process_time()
    run()
    return time.process_time() - began


def compared(kind: str, batch: Batch, seeds: int, turns: int) -> str:
    """What stacking is worth, or why it cannot be."""
    modules = [module_of(kind, seed, batch, chance=False) for seed in range(seeds)]
    expected, slopes = one_by_one(modules, batch)
    try:
        with as_vmap_takes_it(kind):
            losses, found = stacked(modules, batch)()
    except Exception as error:  # what vmap cannot do is a finding
        return f"cannot: {type(error).__name__}: {str(error).splitlines()[0][:150]}"
    off = [
        ((found[name][seed] - slope).norm() / slope.norm().clamp(min=1e-12)).item()
        for seed, own in enumerate(slopes)
        for name, slope in own.items()
    ]
    told = f"losses differ by {(losses - expected).abs().max():.1e}, gradients by {max(off, default=0.0):.1e}"
    modules = [module_of(kind, seed, batch, chance=True) for seed in range(seeds)]
    run, together, alone = stacked(modules, batch), [], []
    for _ in range(turns):
        alone.append(seconds(lambda: one_by_one(modules, batch)))
        with as_vmap_takes_it(kind):
            together.append(seconds(run))
    ratio = min(alone) / min(together)
    return f"one by one {min(alone):.3f} s, stacked {min(together):.3f} s: {ratio:.2f}x; {told}"


def main() -> None:
    """Measure, and print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dialogues", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    batch = collate(corpus().train[: asked.dialogues])
    with deterministic(1):
        for kind in asked.networks:
            print(f"{kind:<10}", compared(kind, batch, asked.seeds, asked.turns), flush=True)


if __name__ == "__main__":
    main()
