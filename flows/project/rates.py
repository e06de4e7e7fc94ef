"""What a cell costs where nothing was recorded yet: the measured rates behind docs/capacity.md."""

from __future__ import annotations

from dataclasses import dataclass

from bigfusion.pipeline.schema import Modality


@dataclass(frozen=True)
class Rate:
    """``core_ms`` of one core a cell; ``bytes`` of a shard a cell."""

    core_ms: float
    bytes: float


RATES = {
    Modality.TEXT: Rate(132, 4400),  # RoBERTa-large, float32, sorted by length: 7.6 a second and core; 1,024 columns
    Modality.AUDIO: Rate(63, 8440),  # IS10 of the demo's 3 s clips: 5.14 s for 164 on two cores; 1,582 columns
    Modality.VISUAL: Rate(386, 1700),  # the demo's: 19.8 s for 164 on two cores, 145 ms to decode 720p; 342 columns
}
INDEX_BYTES = 252  # a cell, of an index of three million
