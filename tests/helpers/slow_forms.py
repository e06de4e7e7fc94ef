"""What several tests compare with: small dialogues, and the graph's edges by plain loops."""

import numpy as np
import torch
from torch import Tensor

from bigfusion.model.data.batch import Batch, Dialogue
from bigfusion.model.layers.graph import Graph, Relations


def dialogue(length: int, *, widths: dict[str, int], classes: int = 3, speakers: int = 2, seed: int = 0) -> Dialogue:
    rng = np.random.default_rng((seed, length))
    return Dialogue(
        id=f"dialogue-{seed}-{length}",
        utterances=tuple(f"u{index}" for index in range(length)),
        features={name: rng.normal(size=(length, width)).astype(np.float32) for name, width in widths.items()},
        present={name: rng.random(length) < 0.8 for name in widths},
        speakers=rng.integers(0, speakers, length),
        labels=rng.integers(0, classes, length),
    )


def rows(lengths: list[int], speakers: int = 3, *, padded: int = 0) -> tuple[Tensor, Tensor]:
    """A mask and random speakers. Shapes: (B, N), (B, N)."""
    longest = max(lengths) + padded
    mask = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
    return mask, torch.randint(0, speakers, mask.shape)


def slow_edges(mask: Tensor, speakers: Tensor, window: int, relations: Relations) -> set[tuple[int, int, int]]:
    """(source, target, relation) of every edge, utterance by utterance."""
    edges, first = set(), 0
    for row in range(len(mask)):
        length = int(mask[row].sum())
        for target in range(length):
            for source in range(length):
                if source == target or abs(source - target) > window:
                    continue
                later = source > target
                one, other = int(speakers[row, source]), int(speakers[row, target])
                if relations.kind == "order":
                    relation = {(True, False): 0, (True, True): 1, (False, False): 2, (False, True): 3}[
                        one == other, later
                    ]
                else:
                    last = relations.speakers - 1
                    relation = 2 * (relations.speakers * min(one, last) + min(other, last)) + later
                edges.add((first + source, first + target, relation))
        first += length
    return edges


def graph_of(edges: set[tuple[int, int, int]], like: Graph, speaker: Tensor) -> Graph:
    """One dialogue's graph from its edges."""
    source, target, relation = torch.tensor(sorted(edges), dtype=torch.long).reshape(-1, 3).T
    return Graph(
        edge_index=torch.stack([source, target]),
        relation=relation,
        dialogue=torch.zeros(len(speaker), dtype=torch.long),
        speaker=speaker,
        sizes=torch.tensor([len(speaker)]),
        window=like.window,
        relations=like.relations,
    )


def double(batch: Batch) -> Batch:
    return Batch(
        {name: value.double() for name, value in batch.features.items()},
        batch.present,
        batch.mask,
        batch.speakers,
        batch.labels,
        validation=batch.validation,
    )
