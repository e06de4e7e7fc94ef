"""What the extractors with ``level = "frame"`` share.

Each lies in a file of its own (``KIND_frames.py``) and runs the code of ``KIND.py`` as it is, keeping the frames that
this code pools. So the vector is the same number for number, and a cell without frames does not depend on any of it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigfusion.extractors.base import ExtractorSpec, Feature
from bigfusion.pipeline.sequences import Frames

Level = Literal["utterance", "frame"]


def level_field() -> Any:
    """The setting ``level`` of every extractor that has frames."""
    return Field(default="utterance", description="frame: the frames that are pooled, and their times, are stored too")


@dataclass(frozen=True, kw_only=True)
class FramedFeature(Feature):
    """A computed feature, and the frames that it was pooled from."""

    frames: Frames


def framed(feature: Feature, values: NDArray[np.float32], times: NDArray[np.float64] | None) -> FramedFeature:
    """A feature with its frames. Shapes: values (T, F), times (T,) in seconds from the utterance's beginning."""
    return FramedFeature(vector=feature.vector, note=feature.note, frames=Frames(values, times))


def with_code(spec: ExtractorSpec, module: str) -> ExtractorSpec:
    """What the numbers of a kind depend on, and the code of its frames in ``module``."""
    idle = [name if ":" in name else f"{spec.module}:{name}" for name in spec.idle]
    return replace(spec, module=module, idle=tuple(idle))


class Kept(threading.local):
    """What the code of one thread passed by on its way to a vector."""

    def __init__(self) -> None:
        self.windows: list[tuple[int, NDArray[np.float32]]] = []
        self.values: Any = None


class KeptByVector:
    """Frames by the very array that was pooled from them, so that they are found again when it comes out."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    def keep(self, vector: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        """Keep the frames of a vector, and the vector itself, so that no other takes its place."""
        self._kept[id(vector)] = vector, values

    def take(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames of a vector. Several utterances may have the same one."""
        return self._kept[id(vector)][1]

    def forget(self) -> None:
        """Forget all."""
        self._kept.clear()
