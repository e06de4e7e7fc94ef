"""MMGCN's graph of one dialogue as one matrix, and convolution on it. Nodes are modality after modality: (M n, D)."""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from bigfusion.model.layers.modal_graph import GCN2Stack


def angular(cosine: Tensor) -> Tensor:
    """1 - arccos(0.99999 cosine) / pi."""
    return 1 - torch.arccos(0.99999 * cosine) / math.pi


def weights(modalities: list[Tensor]) -> Tensor:
    """A: all pairs within a modality, and the nodes of one utterance. Shapes: (n, D) each -> (M n, M n)."""
    length = len(modalities[0])
    matrix = modalities[0].new_zeros(len(modalities) * length, len(modalities) * length)
    for index, nodes in enumerate(modalities):
        unit = nodes / nodes.norm(dim=1, keepdim=True)
        block = slice(index * length, (index + 1) * length)
        matrix[block, block] = angular(unit @ unit.T)
    for (one, first), (other, second) in combinations(enumerate(modalities), 2):
        between = angular(cosine_similarity(first, second))
        for place in range(length):
            row, column = one * length + place, other * length + place
            matrix[row, column] = between[place]
            matrix[column, row] = between[place]
    return matrix


def normalised(matrix: Tensor) -> Tensor:
    """D^-1/2 A D^-1/2."""
    root = torch.diag(matrix.sum(1) ** -0.5)
    return root @ matrix @ root


def convolve(stack: GCN2Stack, start: Tensor, adjacency: Tensor) -> Tensor:
    """Layer by layer. Shapes: (M n, D), (M n, M n) -> (M n, D)."""
    hidden = stack.dropout(start)
    gate = memory = torch.zeros_like(start)
    for number, weight in enumerate(stack.weights, start=1):
        theta = math.log(stack.decay / number + 1)
        if stack.gate is None:
            near = adjacency @ hidden
        else:
            gate, memory = stack.gate(hidden, (gate, memory))
            near = adjacency @ gate
        mixed = (1 - stack.alpha) * near + stack.alpha * start
        output = theta * (torch.cat([near, start], dim=1) @ weight) + (1 - theta) * mixed
        output = stack.dropout(output.relu())
        hidden = output if stack.gate is None else output + hidden
    return hidden


def side_by_side(nodes: Tensor, hidden: Tensor, modalities: int) -> Tensor:
    """[X; H] of each modality of an utterance. Shapes: (M n, D), (M n, K) -> (n, M (D + K))."""
    return torch.cat(torch.cat([nodes, hidden], dim=1).chunk(modalities), dim=1)
