"""The neighbourhood classifier's columns: utterance by utterance, mean by mean, feature by feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def neighbourhood(
    features: Mapping[str, Tensor],
    present: Mapping[str, Sequence[bool]],
    speakers: Sequence[int],
    bands: Sequence[tuple[int, int]],
) -> Tensor:
    """One dialogue's. Shapes: ``features[m]`` (n, F_m), ``present[m]`` n, n speakers -> (n, (3 + 4 bands) F)."""
    length, result = len(speakers), []
    for i in range(length):
        sets = [[i]]
        for near, far in bands:
            for same in (True, False):
                for step in (-1, 1):
                    places = [i + step * distance for distance in range(near, far + 1)]
                    sets.append([j for j in places if 0 <= j < length and (speakers[j] == speakers[i]) == same])
        sets += [[j for j in range(length) if speakers[j] == speakers[i]], list(range(length))]
        means = [mean(rows, [j for j in some if present[name][j]]) for some in sets for name, rows in features.items()]
        result.append(torch.cat(means))
    return torch.stack(result)


def mean(rows: Tensor, chosen: list[int]) -> Tensor:
    """Zeros where nobody is. Shape: (n, F) -> (F,)."""
    return rows[chosen].mean(0) if chosen else torch.zeros_like(rows[0])
