"""The protocol of a contrast: two views of a graph, and what BIG-FUSION does with them (Eqs. 1-3).

A contrast is one file, ``contrast/KIND.py``, that ends with ``CONTRAST = TheClass``; its settings are
``contrast_settings/KIND.py``. :func:`build` imports the file that the settings name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.optim import Optimizer

from bigfusion.model.contrast.losses import contrastive_loss, supervised_contrast
from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.data.utterances import to_rows
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.layers.rgcn import RelationalEncoder
from bigfusion.model.network_settings.bigfusion import BigFusionSettings


@dataclass(frozen=True)
class View:
    """One augmented graph.

    Shapes: ``nodes`` (V, D) what the encoder reads; ``weights`` (E,) of the edges, None: all 1; ``anchors`` (V,) bool
    the nodes that are contrasted, None: all. ``encode`` takes the place of the network's encoder (a moving average).
    """

    nodes: Tensor
    weights: Tensor | None = None
    anchors: Tensor | None = None
    encode: Callable[[Tensor, Graph, Tensor | None], Tensor] | None = None


@dataclass(frozen=True)
class Views:
    """Two views of the same nodes.

    ``positives`` (B, N, N) bool: the nodes of the second view that count as positives of each node, itself among them;
    None: itself alone. N is at least the longest dialogue's length. ``penalty``: a scalar beside L_cl within lambda, a
    mean over the dialogues.
    """

    first: View
    second: View
    positives: Tensor | None = None
    penalty: Tensor | None = None


def _own_rows(rows: Tensor) -> Tensor:
    return rows


def _own_gradients(parameters: Iterable[nn.Parameter]) -> None:
    del parameters


@dataclass(frozen=True)
class Host:
    """What a contrast may use of the network: its encoder, and L_cl of two encodings of this batch's nodes.

    ``gather`` and ``sum_gradients`` reach the processes that share the batch, for a step of the contrast's own.
    """

    encoder: RelationalEncoder
    compare: Callable[[Tensor, Tensor], Tensor]
    gather: Callable[[Tensor], Tensor] = _own_rows
    sum_gradients: Callable[[Iterable[nn.Parameter]], None] = _own_gradients


class Contrast(nn.Module):
    """Base of every contrast. It has no share in prediction: a checkpoint leaves its parameters out."""

    def __init__(self, settings: ContrastSettings, model: BigFusionSettings, relations: Relations) -> None:
        super().__init__()

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """The two views of a batch's graph; nodes are the encoder's inputs. Shape: (V, D)."""
        raise NotImplementedError

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called before each epoch (from 1)."""

    def optimizers(self) -> dict[str, Optimizer]:
        """Optimizers of the contrast's own, by name."""
        return {}

    def own_step(self, nodes: Tensor, graph: Graph, host: Host, optimizers: Mapping[str, Optimizer]) -> None:
        """Called before each step of a training, where there are such optimizers: one step of theirs."""

    def after_step(self, encoder: RelationalEncoder) -> None:
        """Called after each step of a training, without gradient."""


def build(settings: ContrastSettings, model: BigFusionSettings, relations: Relations) -> Contrast:
    """The contrast that ``settings.kind`` names."""
    module = import_module(f"bigfusion.model.contrast.{settings.kind}")
    contrast: Contrast = module.CONTRAST(settings, model, relations)
    return contrast


@dataclass(frozen=True)
class Comparison:
    """L_cl between graphs of one batch.

    Shapes: ``labels`` (V,), ``mask`` (B, N) bool with V True. ``gather`` gives the rows of all processes that share the
    batch, which ``negatives = "batch"`` sets against each other.
    """

    settings: ContrastSettings
    labels: Tensor
    mask: Tensor
    gather: Callable[[Tensor], Tensor]

    def __call__(
        self, first: Tensor, second: Tensor, anchors: Tensor | None = None, positives: Tensor | None = None
    ) -> Tensor:
        """L_cl of two graphs of the same nodes. Shapes: (V, D), (V, D) -> scalar."""
        labels, mask = self.labels, self.mask
        anchors = torch.ones_like(labels, dtype=torch.bool) if anchors is None else anchors
        group = mask.nonzero()[:, 0]
        if positives is not None:
            padding = mask.shape[1] - positives.shape[1]
            positives = pad(positives, (0, padding, 0, padding))
        if self.settings.negatives == "batch":
            positives = None if positives is None else self._of_all_rows(positives)
            first, second, labels, anchors = map(self.gather, (first, second, labels, anchors))
            group = torch.zeros_like(labels)
            mask = torch.ones_like(labels, dtype=torch.bool).unsqueeze(0)  # (1, V): one row
        if self.settings.positives == "label":
            first, second, labels, group = (rows[anchors] for rows in (first, second, labels, group))
            return supervised_contrast(first, second, labels, group, self.settings.temperature)
        first, second = to_rows(first, mask), to_rows(second, mask)
        return contrastive_loss(first, second, to_rows(anchors, mask), self.settings.temperature, positives)

    def _of_all_rows(self, positives: Tensor) -> Tensor:
        """The positives of a batch's dialogues among the rows of all processes. Shapes: (B, N, N) -> (1, V, V) bool."""
        own = positives[self.mask]  # (V, N): each node's, within its dialogue
        place = self.mask.nonzero()[:, 1]  # (V,), in its dialogue
        width = int(self.gather(place.new_tensor([own.shape[1]])).max())
        own, place = self.gather(pad(own, (0, width - own.shape[1]))), self.gather(place)
        rows = torch.arange(len(place), device=place.device)
        column = (rows - place).unsqueeze(1) + torch.arange(width, device=place.device)  # (V, N)
        spread = own.new_zeros(len(rows), len(rows) + width).scatter_(1, column, own)
        return spread[:, : len(rows)].unsqueeze(0)


@dataclass(frozen=True)
class Contrasted:
    """Shapes: ``loss`` scalar L_cl; ``penalty`` scalar or None; ``encoded`` (V, D) each view's nodes, encoded."""

    loss: Tensor
    penalty: Tensor | None
    encoded: tuple[Tensor, Tensor]


def contrasted(
    contrast: Contrast, nodes: Tensor, original: Tensor, graph: Graph, encoder: RelationalEncoder, compare: Comparison
) -> Contrasted:
    """L_cl of the contrast's two views, or of the original with each. Shapes: nodes, original (V, D)."""
    views = contrast.views(nodes, graph, Host(encoder, compare))
    first, second = ((view.encode or encoder)(view.nodes, graph, view.weights) for view in (views.first, views.second))
    if compare.settings.pair == "views":
        pairs = [(first, second, _both(views.first.anchors, views.second.anchors))]
    else:
        pairs = [(original, first, views.first.anchors), (original, second, views.second.anchors)]
    losses = [compare(one, other, anchors, views.positives) for one, other, anchors in pairs]
    return Contrasted(torch.stack(losses).mean(), views.penalty, (first, second))


def _both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Nodes that are anchors in both views."""
    if first is None or second is None:
        return second if first is None else first
    return first & second
