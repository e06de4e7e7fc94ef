"""A small project on the demo corpus, and the command line on it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from bigfusion.flows import cli

CONFIG = """
preset = "demo"

[model]
width = 16
heads = 2
modalities = ["text", "audio", "visual"]

[train]
seeds = [0, 1]
epochs = 2

[visual]
frames_per_second = 1.0

[extract]
chunk_size = 16
"""


@dataclass(frozen=True)
class Place:
    """A project in a folder, and the command line on it."""

    folder: Path
    capsys: pytest.CaptureFixture[str] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "bigfusion.toml"

    @property
    def corpus(self) -> Path:
        return self.folder / "MELD.Raw"

    def run(self, command: str, *arguments: str) -> int:
        return cli.main([command, *arguments, "--config", str(self.config)])

    def shards(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.folder / "work/store").rglob("*-*.parquet"))}
