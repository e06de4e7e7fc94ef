"""FFmpeg and SoX as independent references, and as writers of what PyAV does not write. Debian's packages hold both."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

FIELD = Path(__file__).absolute().parents[2].parent / "shared" / "data" / "field"

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg (Debian's package)")
needs_sox = pytest.mark.skipif(shutil.which("sox") is None, reason="needs sox (Debian's package)")
needs_field = pytest.mark.skipif(not FIELD.is_dir(), reason="needs the field cases beside the project")


def ffmpeg(*arguments: object) -> bytes:
    """Run ffmpeg; what it writes to its output."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def ffprobe(path: Path, stream: str, entry: str) -> list[str]:
    """An entry of every frame or packet of a stream: ``frame=best_effort_timestamp_time``."""
    command = ["ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", entry, "-of", "csv=p=0", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.strip(",") for line in lines if line]


def encoders(kind: str) -> list[str]:
    """The names of this FFmpeg's encoders of video ("V") or audio ("A")."""
    if shutil.which("ffmpeg") is None:
        return []
    found = subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], check=True, capture_output=True, text=True)
    rows = [line.split() for line in found.stdout.splitlines() if line.startswith(f" {kind}")]
    return [row[1] for row in rows if row[1] != "="]


def heard_by_stamps(path: Path, rate: int = 16_000) -> np.ndarray:
    """A file's sound as FFmpeg places it by its timestamps: silence in gaps, from the file's first timestamp on."""
    how = ["-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", str(rate), "-f", "f32le", "-"]
    return np.frombuffer(ffmpeg("-i", path, "-map", "0:a:0", *how), "<f4")
