"""Who speaks when: voices of short windows, put into as many groups as there are speakers.

Each window keeps its nearest neighbours alone; the graph of these falls apart into as many parts as there are speakers.
The number is where the eigenvalues of the graph's Laplacian jump (von Luxburg, 2007; Park et al., 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.speech.sound import Region
from bigfusion.extractors.speech.voices import embed
from bigfusion.extractors.speech.words import Turn

WINDOW, STEP = 1.5, 0.75
"""Seconds of sound that a voice is taken from, and from one window to the next."""
CERTAIN = 0.6
"""Seconds below which a voice only joins a group, and helps to make none."""
NEIGHBOURS = 6


def diarise(
    samples: NDArray[np.float32], regions: Sequence[Region], folder: Path, speakers: int | None, most: int
) -> list[Turn]:
    """The turns of a file, in order; speakers are numbered in the order in which they first speak.

    ``speakers`` is how many there are; ``None``: estimated, at most ``most``. Shape: ``samples`` (n,), 16 kHz.

    Raises:
        ExtractionError: the extra ``speech`` or the weights are missing.
    """
    spans = windows(regions)
    if not spans:
        return []
    voices = embed(samples, spans, folder)
    certain = np.array([span.end - span.start >= CERTAIN for span in spans])
    if not certain.any():
        certain[:] = True
    groups = grouped(voices[certain], speakers, most)
    centres = np.stack([voices[certain][groups == group].mean(0) for group in range(groups.max() + 1)])
    labels = (voices @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T).argmax(1)
    labels[certain] = groups
    return turns_of(spans, labels, regions)


def windows(regions: Sequence[Region]) -> list[Region]:
    """Windows over the speech. The last one of each region ends with it; a short region is one window."""
    spans: list[Region] = []
    for region in regions:
        start = region.start
        while start + WINDOW < region.end:
            spans.append(Region(start, start + WINDOW))
            start += STEP
        spans.append(Region(max(region.start, region.end - WINDOW), region.end))
    return spans


def grouped(voices: NDArray[np.float32], speakers: int | None, most: int) -> NDArray[np.int64]:
    """The group of each voice, from 0. Shapes: ``voices`` (N, D), rows of length 1 -> (N,)."""
    from sklearn.cluster import KMeans

    values, vectors = np.linalg.eigh(laplacian(voices))
    count = min(speakers or jump(values, most), len(voices))
    if count == 1:
        return np.zeros(len(voices), np.int64)
    found: NDArray[np.int64] = KMeans(count, n_init=20, random_state=0).fit_predict(vectors[:, :count])
    return found.astype(np.int64)


def laplacian(voices: NDArray[np.float32]) -> NDArray[np.float64]:
    """The Laplacian of the graph of nearest voices, weighted by their cosine. Shapes: (N, D) -> (N, N)."""
    cosines = voices.astype(np.float64) @ voices.astype(np.float64).T
    np.fill_diagonal(cosines, -np.inf)
    kept = np.zeros(cosines.shape, bool)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(voices) - 1)]
    np.put_along_axis(kept, nearest, True, axis=1)
    graph = np.where(kept, np.maximum(cosines, 0.0), 0.0)
    graph = (graph + graph.T) / 2
    return np.diag(graph.sum(1)) - graph


def jump(eigenvalues: NDArray[np.float64], most: int) -> int:
    """How many eigenvalues, at most ``most``, lie below the largest jump; they ascend."""
    jumps = np.diff(eigenvalues[: most + 1])
    return int(jumps.argmax()) + 1 if jumps.size else 1


def turns_of(spans: Sequence[Region], labels: NDArray[np.int64], regions: Sequence[Region]) -> list[Turn]:
    """Windows as turns: one speaker's neighbouring windows are one turn; two speakers meet half way between them."""
    numbers: dict[int, int] = {}
    turns: list[Turn] = []
    for region in regions:
        inside = [index for index, span in enumerate(spans) if region.start <= span.start and span.end <= region.end]
        start = region.start
        for place, index in enumerate(inside):
            speaker = numbers.setdefault(int(labels[index]), len(numbers))
            following = inside[place + 1] if place + 1 < len(inside) else None
            if following is not None and labels[following] == labels[index]:
                continue
            end = region.end if following is None else (_middle(spans[index]) + _middle(spans[following])) / 2
            turns.append(Turn(start=start, end=end, speaker=speaker))
            start = end
    return turns


def _middle(span: Region) -> float:
    return (span.start + span.end) / 2
