"""Timelines without a model: what a page is made from."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bigfusion.model.scoring.timeline import Moment, Origin, Timeline

LABELS = ("neutral", "joy", "surprise", "sadness", "anger", "fear", "disgust")
ORIGIN = Origin(
    model="a690e809",
    corpus="MELD",
    network="bigfusion",
    seeds=3,
    features=("text", "audio", "visual"),
    threshold=0.45,
    weighted_f1=0.6671,
    accuracy=0.678,
    calibration_error=0.042,
    errors=dict(zip(LABELS, (0.21, 0.38, 0.41, 0.62, 0.52, 0.78, 0.71), strict=True)),
)


def moment(start: float, end: float, label: str = "joy", speaker: str = "Ross", text: str = "Hi.", **more) -> Moment:
    """A moment whose label has the probability 0.7; each other label has 0.05."""
    probabilities = {name: 0.7 if name == label else 0.05 for name in LABELS}
    return replace(Moment(start, end, speaker, text, label, probabilities), **more)


def timeline(media: Path, seconds: float, *moments: Moment, **more) -> Timeline:
    """A timeline with a picture, of a model with seven labels."""
    return replace(Timeline(media, seconds, True, LABELS, moments, ORIGIN), **more)


def long_timeline(media: Path, seconds: float = 7200.0, number: int = 2000) -> Timeline:
    """Utterances of five speakers without a pause, each with other probabilities."""
    random = np.random.default_rng(5)
    edges = np.linspace(0, seconds, number + 1)
    moments = []
    for index, probabilities in enumerate(random.dirichlet(np.full(len(LABELS), 0.4), number)):
        shares = dict(zip(LABELS, map(float, probabilities), strict=True))
        words = " ".join(f"word{int(word)}" for word in random.integers(0, 400, 12))
        label = max(shares, key=lambda name: shares[name])
        moments.append(Moment(edges[index], edges[index + 1], f"Speaker {index % 5}", words, label, shares))
    return timeline(media, seconds, *moments)
