"""Outcomes of one look at the media: several features of the same clips, decoded once and searched for faces once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, cast

from bigfusion.extractors.base import Extractor, Outcome
from bigfusion.extractors.compute import cores
from bigfusion.extractors.visual.viewing import ClipExtractor, Viewer, view
from bigfusion.pipeline.schema import FeatureName, Utterance


def outcomes(
    makers: Mapping[FeatureName, Extractor],
    utterances: Mapping[FeatureName, Sequence[Utterance]],
    progress: Callable[[int], None],
) -> tuple[dict[FeatureName, list[Outcome]], dict[FeatureName, float]]:
    """The outcomes of each feature's utterances, in order, and the seconds that each feature took.

    The seconds' sum is the time by the clock. What several features share counts for each in equal parts.

    Raises:
        ExtractionError: an extractor cannot run.
    """
    started = time.perf_counter()
    timed = {feature: _Timed(cast(ClipExtractor, maker)) for feature, maker in makers.items()}
    wanted: dict[str, dict[FeatureName, Utterance]] = {}
    for feature, several in utterances.items():
        for utterance in several:
            wanted.setdefault(utterance.id, {})[feature] = utterance
    work = [
        (next(iter(one.values())), [cast(ClipExtractor, timed[feature]) for feature in one]) for one in wanted.values()
    ]
    made: dict[tuple[FeatureName, str], Outcome] = {}
    for (name, one), found in zip(wanted.items(), view(work, progress), strict=True):
        made |= {(feature, name): outcome for feature, outcome in zip(one, found, strict=True)}
    seconds = time.perf_counter() - started
    threads = min(len(work), *(maker.threads or cores() for maker in timed.values()))
    return (
        {feature: [made[feature, utterance.id] for utterance in several] for feature, several in utterances.items()},
        _shares({feature: one.seconds for feature, one in timed.items()}, seconds, threads),
    )


def _shares(own: Mapping[FeatureName, float], seconds: float, threads: int) -> dict[FeatureName, float]:
    """Seconds by the clock, divided among features that used the ``threads`` for so long alone."""
    shared = max(seconds * threads - sum(own.values()), 0.0) / len(own)
    whole = sum(own.values()) + shared * len(own)
    return {feature: seconds * (value + shared) / whole for feature, value in own.items()}


class _Timed:
    """An extractor whose viewers count the seconds that they take."""

    def __init__(self, extractor: ClipExtractor) -> None:
        self._extractor, self._lock = extractor, Lock()
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._extractor, name)

    def viewer(self, utterance: Utterance) -> Viewer:
        """The extractor's viewer."""
        return _TimedViewer(self._extractor.viewer(utterance), self._add)

    def _add(self, seconds: float) -> None:
        with self._lock:
            self.seconds += seconds


class _TimedViewer:
    def __init__(self, viewer: Viewer, add: Callable[[float], None]) -> None:
        self._viewer, self._add = viewer, add

    def see(self, *seen: Any) -> None:
        """See the next frame."""
        self._timed(self._viewer.see, *seen)

    def outcome(self, notes: list[str]) -> Outcome:
        """What was seen."""
        return cast(Outcome, self._timed(self._viewer.outcome, notes))

    def _timed(self, work: Callable[..., Any], *inputs: Any) -> Any:
        started = time.perf_counter()
        try:
            return work(*inputs)
        finally:
            self._add(time.perf_counter() - started)
